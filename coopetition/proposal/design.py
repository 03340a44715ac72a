"""Experiment design: the run whose log would teach the map most.

A run at covariates z whose log carries information H about its parameters adds to the effects'
precision the term (Ω − Ω (H + Ω)⁻¹ Ω) ⊗ z zᵀ, Ω⁻¹ the variance of runs' own deviations
(`coopetition.forecasting.settings_map.regression`). By the determinant lemma the effects' entropy
falls by

    gain = ½ log det(1 + M V),   M = Ω − Ω (H + Ω)⁻¹ Ω,   V = covariance of E z,

in nats: D-optimality, with H of the log expected at the map's own prediction.

Reference: Chaloner & Verdinelli 1995, Statistical Science 10:273.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..curves.curve import Curve, Curves
from ..dynamics.readout import ACCURACY
from ..fitting.multistart import one_blas_thread
from ..forecasting.observations import observations
from ..forecasting.prior import ParameterPrior
from ..forecasting.settings_map import SettingsMap
from ..settings.covariates import covariates, data_kind
from ..settings.training import TrainingSettings
from .base import base_settings
from .moves import Candidate
from .screening import require_begun

POINTS = 25  # of the log that such a run would leave
USUAL = 1  # index of λ = 1 among the discrepancy's scales


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run and what it would teach the map."""

    candidate: Candidate  # the changes of its settings
    gain: float  # by which the entropy of the map's effects would fall, in nats

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"changes": dict(self.candidate.changes), "gain": self.gain}

    def summary(self) -> str:
        """One line."""
        changes = ", ".join(f"{name} = {value:g}" for name, value in self.candidate.changes.items())
        return f"experiment: {changes} would teach {self.gain:.2f} nats"


def gains(
    settings_map: SettingsMap, settings: Sequence[Mapping[str, Any]], *, budget: float
) -> tuple[float, ...]:
    """Information gain about the effects of a run at each settings, in nats; 0 if it would fail."""
    nats = [0.0] * len(settings)
    with one_blas_thread():
        priors = [settings_map.predict(one) for one in settings]
        require_begun(priors, budget)
        for origin in {prior.origin for prior in priors}:  # the runs of a head start in one batch
            members = [i for i, prior in enumerate(priors) if prior.origin == origin]
            medians = np.array([priors[i].mean for i in members])
            times = np.linspace(0.0, budget - origin, POINTS)
            curves = settings_map.the_theory().curves(medians, times)
            for row, i in enumerate(members):
                expected = {name: values[row] for name, values in curves.items()}
                information = _information(settings_map, priors[i], expected, times)
                if information is not None:
                    nats[i] = _gain(settings_map, settings[i], information)
    return tuple(nats)


def _information(
    settings_map: SettingsMap, prior: ParameterPrior, expected: Mapping[str, Array], times: Array
) -> Array | None:
    """Information ``(k, k)`` about θ in a log of these accuracies ``(times,)``, if finite."""
    if not all(np.all(np.isfinite(values)) for values in expected.values()):
        return None
    curves = {
        (name, ACCURACY): Curve(evaluator=name, metric=ACCURACY, sequences=times, values=values)
        for name, values in expected.items()
    }
    log = observations(
        Curves(run="experiment", curves=curves),
        settings_map.discrepancy,
        until=float(times[-1]),
        time_scale=prior.time_scale,
        points=POINTS,
    )
    slopes = settings_map.the_theory().slopes(prior.mean, log.times)
    if slopes is None:
        return None
    _, jacobian = log.residuals(slopes, USUAL)
    return np.asarray(jacobian.T @ jacobian)


def _gain(settings_map: SettingsMap, settings: Mapping[str, Any], information: Array) -> float:
    """The fall of the effects' entropy by a log with that information ``(k, k)`` about θ."""
    omega = np.diag(1.0 / settings_map.deviation)
    added = omega - omega @ np.linalg.inv(information + omega) @ omega  # M
    values, _ = settings_map.nearby(covariates(settings))  # as far as effects are relied on
    _, covariance = settings_map.effects.at(settings_map.design(values, data_kind(settings)))  # V
    _, log_determinant = np.linalg.slogdet(np.eye(len(omega)) + added @ covariance)
    return 0.5 * float(log_determinant)


def most_informative(
    base: Mapping[str, Any] | TrainingSettings,
    candidates: Sequence[Candidate],
    settings_map: SettingsMap,
    *,
    budget: float,
    count: int = 5,
) -> tuple[Experiment, ...]:
    """The candidates whose runs would teach the map most, the best first.

    Parameters
    ----------
    base
        Settings by short name, or our trainer's.
    candidates
        Such as those of `coopetition.proposal.candidates`.
    settings_map
        The map to improve.
    budget
        Sequences of the run.
    count
        Most experiments to return.
    """
    start = base_settings(base)
    nats = gains(settings_map, [one.settings(start) for one in candidates], budget=budget)
    pairs = zip(candidates, nats, strict=True)
    experiments = [Experiment(candidate=candidate, gain=gain) for candidate, gain in pairs]
    return tuple(sorted(experiments, key=lambda e: -e.gain)[:count])
