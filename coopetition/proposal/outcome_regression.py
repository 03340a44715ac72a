"""A baseline without a theory: verdicts regressed on settings.

Multinomial logistic regression with a normal prior on its weights,

    log p(v | z) = w_v · z − log Σ_u exp(w_u · z),   w_v ~ N(0, τ²),

where z are the standardised covariates of `coopetition.forecasting.settings_map` that differ
between the runs, and a constant with a wide prior. It predicts no curves and gives no reasons: a
map that does not beat it has learnt nothing from its theory.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, ReadOnlyArrays
from ..curves.verdicts import VERDICTS, verdict
from ..errors import unknown_name
from ..forecasting.settings_map import SettingsMap, small_map
from ..forecasting.settings_map.logistic import Scaling, fit_multinomial, softmax
from ..logs import read_curves, small_runs
from ..settings.covariates import covariates

Opinion = Callable[[Mapping[str, Any]], Mapping[str, float]]  # verdicts' probabilities at settings

WIDTH = 1.5  # τ: one standard deviation of a covariate moves odds by up to about e^3
CONSTANT_WIDTH = 5.0
BEYOND = 2.0  # factor beyond the horizons of the runs up to which the regression is used


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeRegression(ReadOnlyArrays):
    """A fitted regression of verdicts on settings."""

    scaling: Scaling  # of the covariates used
    weights: Array  # (verdicts, covariates + 1), the constant's last
    horizons: tuple[float, float] | None = None  # shortest and longest of its runs, if they say

    def knows(self, horizon: float) -> bool:
        """Whether the horizon is within a factor of 2 of those of the runs."""
        if self.horizons is None:
            return True
        shortest, longest = self.horizons
        return shortest / BEYOND <= horizon <= longest * BEYOND

    def predict(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """Probabilities of the verdicts at a run's settings."""
        chances = softmax(self.weights @ self.scaling.z(features(settings)))
        return {name: float(p) for name, p in zip(VERDICTS, chances, strict=True)}


def features(settings: Mapping[str, Any]) -> dict[str, float]:
    """The covariates and log(1 + horizon); 0 for what settings do not say."""
    values = {name: value or 0.0 for name, value in covariates(settings).items()}
    horizon = settings.get("horizon")
    values["horizon"] = math.log1p(horizon if isinstance(horizon, int | float) else 0.0)
    return values


def regress_outcomes(
    settings: Sequence[Mapping[str, Any]], verdicts: Sequence[str], *, width: float = WIDTH
) -> OutcomeRegression:
    """Fit the regression.

    Parameters
    ----------
    settings
        Of the runs, by short name; ``horizon`` may say to how many sequences the verdict refers.
    verdicts
        Of the runs.
    width
        The prior's standard deviation τ.

    Raises
    ------
    ValueError
        If there are no runs, runs and verdicts differ in number, or a verdict is unknown.

    Examples
    --------
    >>> runs = [{"match_probability": share} for share in (0.0, 0.1, 0.9, 1.0)]
    >>> regression = regress_outcomes(runs, ["never", "never", "persistent", "persistent"])
    >>> regression.predict({"match_probability": 0.95})["persistent"] > 0.8
    True
    """
    if not settings or len(settings) != len(verdicts):
        raise ValueError(
            f"{len(settings)} settings and {len(verdicts)} verdicts: give one verdict a run"
        )
    for one in verdicts:
        if one not in VERDICTS:
            raise unknown_name("verdict", one, VERDICTS)
    rows = [features(one) for one in settings]
    scaling = Scaling.of(rows)
    z = np.array([scaling.z(row) for row in rows])
    observed = np.array([[float(v == name) for name in VERDICTS] for v in verdicts])
    ends = [one["horizon"] for one in settings if isinstance(one.get("horizon"), int | float)]
    tau = np.append(np.full(len(scaling.names), width), CONSTANT_WIDTH)
    return OutcomeRegression(
        scaling=scaling,
        weights=fit_multinomial(z, observed, tau).weights,
        horizons=(min(ends), max(ends)) if ends else None,
    )


@functools.cache
def small_regression() -> OutcomeRegression:
    """The regression on the small runs, right more often than the map (`benchmarks/RESULTS.md`)."""
    runs = [read_curves(f"cpu:{name}")[0] for name in small_runs()]
    return regress_outcomes(
        [{**curves.settings, "horizon": curves.last_sequence} for curves in runs],
        [verdict(curves) for curves in runs],
    )


def second_opinion(settings_map: SettingsMap, budget: float) -> Opinion | None:
    """The small runs' regression, beside their own map and for budgets that it knows."""
    if settings_map is not small_map() or not small_regression().knows(budget):
        return None
    return small_regression().predict
