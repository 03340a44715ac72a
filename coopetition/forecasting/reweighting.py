"""Verdict probabilities, corrected on the map's own runs, and paths reweighted to have them.

Where the theory's probability of verdict v from settings alone is p(v) and the corrected one q(v),
a path with verdict v has the weight q(v)/p(v), with a log or without (Jeffrey's rule).

Reference: Diaconis & Zabell 1982, J. Am. Stat. Assoc. 77:822.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.verdicts import RARE, VERDICTS, verdict_probabilities, verdicts_of_paths
from ..errors import CoopetitionError
from .paths import flip_paths
from .prior import ParameterPrior

if TYPE_CHECKING:  # settings_map imports this folder
    from .settings_map import SettingsMap

Array = NDArray[np.float64]

FROM_SETTINGS = 1000  # paths from settings alone, beside those that follow a log
LEAST_SHARE = 0.5  # of the draws, whose simulations must succeed


def corrected_verdicts(
    settings_map: SettingsMap,
    settings: Mapping[str, Any],
    prior: ParameterPrior,
    flip: Array,
    horizon: float,
    *,
    follows_log: bool,
    seed: int,
) -> tuple[Mapping[str, float], Array]:
    """Corrected verdict probabilities, and the weight of each path of ``flip``, (draws, times).

    The correction is of predictions from settings alone; verdicts of paths that follow a log change
    by the same ratios.
    """
    from_theory = verdict_probabilities(flip)
    if settings_map.verdict_correction is None:
        return from_theory, np.full(len(flip), 1.0 / len(flip))
    if follows_log:
        flips = flip_paths(
            settings_map.the_theory(), settings_map.discrepancy, prior,
            horizon=horizon, draws=FROM_SETTINGS, seed=seed,
        )  # fmt: skip
        require_enough(len(flips) / FROM_SETTINGS, "from the run's settings alone", horizon)
        from_theory = verdict_probabilities(flips)
    corrected = settings_map.corrected(settings, from_theory, horizon=horizon)
    weights = path_weights(flip, from_theory, corrected)
    if not follows_log:
        return corrected, weights
    verdicts = verdicts_of_paths(flip)
    sums = [float(np.sum(weights[verdicts == i])) for i in range(len(VERDICTS))]
    return {v: share / sum(sums) for v, share in zip(VERDICTS, sums, strict=True)}, weights


def require_enough(share: float, who: str, horizon: float) -> None:
    """Refuse to summarise paths if fewer than `LEAST_SHARE` of the simulations succeeded."""
    if share < LEAST_SHARE:
        raise CoopetitionError(
            f"{100 * (1 - share):.0f} % of the simulations {who} failed before {horizon:,.0f} "
            "sequences; check its settings (learning rate, batch size) or shorten the horizon"
        )


def path_weights(flip: Array, before: Mapping[str, float], after: Mapping[str, float]) -> Array:
    """Weights q(v)/p(v) of the paths ``flip``, (draws, times), with sum 1."""
    ratio = np.array([after[name] / max(before[name], RARE) for name in VERDICTS])
    weights = ratio[verdicts_of_paths(flip)]
    return np.asarray(weights / weights.sum())
