"""Experiment design: the run whose log would sharpen the map most.

A run at covariates z whose log determines its parameters with information H adds to the effects'
precision the term (Ω − Ω (H + Ω)⁻¹ Ω) ⊗ z zᵀ, Ω⁻¹ the variance of runs' own deviations
(`coopetition.knobs.regression`). By the determinant lemma the effects' entropy falls by

    gain = ½ log det(1 + M V),   M = Ω − Ω (H + Ω)⁻¹ Ω,   V = covariance of E z,

in nats: D-optimality, with H of the log expected at the map's own prediction.

Reference: Chaloner & Verdinelli 1995, Statistical Science 10:273.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves import Curve, Curves
from ..forecasting.evidence import evidence
from ..knobs import KnobMap, covariates
from ..knobs.covariates import data_kind
from ..readout import ACCURACY
from .candidates import Candidate, plain

Array = NDArray[np.float64]

POINTS = 25  # of the log that such a run would leave
USUAL = 1  # index of λ = 1 among the discrepancy's scales


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run and what it would teach.

    Parameters
    ----------
    candidate
        The settings' changes.
    gain
        Fall of the entropy of the map's effects, in nats.
    """

    candidate: Candidate
    gain: float


def information(knob_map: KnobMap, settings: Mapping[str, Any], *, budget: float) -> Array | None:
    """What a log to the budget would say of θ at the predicted median, shape ``(k, k)``.

    None where the simulation there fails.
    """
    theory, prior = knob_map.the_theory(), knob_map.predict(settings)
    times = np.linspace(0.0, budget, POINTS)
    expected = theory.curves(prior.mean[None], times)
    if not all(np.all(np.isfinite(values)) for values in expected.values()):
        return None
    log = evidence(
        Curves(
            run="experiment",
            curves={
                (name, ACCURACY): Curve(
                    evaluator=name, metric=ACCURACY, sequences=times, values=values[0]
                )
                for name, values in expected.items()
            },
        ),
        knob_map.discrepancy,
        until=budget,
        pace=prior.pace,
        points=POINTS,
    )
    slopes = theory.slopes(prior.mean, log.times)
    if slopes is None:
        return None
    _, jacobian = log.residuals(slopes, USUAL)
    return np.asarray(jacobian.T @ jacobian)


def gain(knob_map: KnobMap, settings: Mapping[str, Any], *, budget: float) -> float:
    """What a run with these settings would teach of the effects, in nats; 0 where it would fail."""
    found = information(knob_map, settings, budget=budget)
    if found is None:
        return 0.0
    omega = np.diag(1.0 / knob_map.deviation)
    through = omega - omega @ np.linalg.inv(found + omega) @ omega
    design = knob_map.design(covariates(settings), data_kind(settings))
    _, spread = knob_map.effects.at(design)
    _, log_determinant = np.linalg.slogdet(np.eye(len(omega)) + through @ spread)
    return 0.5 * float(log_determinant)


def most_informative(
    base: Mapping[str, Any],
    found: Sequence[Candidate],
    knob_map: KnobMap,
    *,
    budget: float,
    count: int = 5,
) -> tuple[Experiment, ...]:
    """The candidates that would teach most, the best first.

    Parameters
    ----------
    base
        Settings by short name.
    found
        Candidates, see `coopetition.proposal.candidates`.
    knob_map
        The map to be sharpened.
    budget
        Sequences of the run.
    count
        How many.
    """
    start = plain(base)
    experiments = [
        Experiment(candidate=one, gain=gain(knob_map, one.settings(start), budget=budget))
        for one in found
    ]
    return tuple(sorted(experiments, key=lambda e: -e.gain)[:count])
