"""Verdict probabilities, corrected on the map's own runs, and paths reweighted to have them.

Where the theory says p(v) of the verdicts from settings alone and the map's runs teach q(v), a path
with verdict v counts q(v)/p(v), with a log seen or without (Jeffrey's rule). Within a verdict
nothing changes.

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

if TYPE_CHECKING:  # the map's folder stands below: it is calibrated with this one's theories
    from .settings_map import SettingsMap

Array = NDArray[np.float64]

FROM_SETTINGS = 1000  # paths from settings alone, beside those that follow a log
LEAST_SHARE = 0.5  # of the draws whose paths must be numbers


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
    """Corrected verdict probabilities, and what each path of ``flip``, (draws, times), counts.

    The correction is of what settings alone say. Paths that follow a log are other ones: their
    verdicts change by the same ratios.
    """
    theory_says = verdict_probabilities(flip)
    if settings_map.verdict_correction is None:
        return theory_says, np.full(len(flip), 1.0 / len(flip))
    if follows_log:
        theory_says = _from_settings(settings_map, prior, horizon, seed)
    corrected = settings_map.corrected(settings, theory_says, horizon=horizon)
    weights = path_weights(flip, theory_says, corrected)
    if not follows_log:
        return corrected, weights
    verdicts = verdicts_of_paths(flip)
    sums = [float(np.sum(weights[verdicts == i])) for i in range(len(VERDICTS))]
    return {v: one / sum(sums) for v, one in zip(VERDICTS, sums, strict=True)}, weights


def _from_settings(
    settings_map: SettingsMap, prior: ParameterPrior, horizon: float, seed: int
) -> Mapping[str, float]:
    """The theory's verdict probabilities from settings alone."""
    theory, form = settings_map.the_theory(), settings_map.discrepancy
    flips = flip_paths(theory, form, prior, horizon=horizon, draws=FROM_SETTINGS, seed=seed)
    who = "from the run's settings alone"
    require_enough(len(flips) / FROM_SETTINGS, who, horizon)
    return verdict_probabilities(flips)


def require_enough(share: float, who: str, horizon: float) -> None:
    """Refuse to summarise paths if fewer than `LEAST_SHARE` of the simulations succeeded."""
    if share < LEAST_SHARE:
        raise CoopetitionError(
            f"{100 * (1 - share):.0f} % of the simulations {who} failed before {horizon:,.0f} "
            "sequences; check its settings (learning rate, batch size) or shorten the horizon"
        )


def path_weights(flip: Array, before: Mapping[str, float], after: Mapping[str, float]) -> Array:
    """What each path of ``flip``, (draws, times), counts, q(v)/p(v), together 1.

    Examples
    --------
    >>> even, sure = {"persistent": 0.5, "transient": 0.5, "never": 0.0}, {"persistent": 0.9,
    ...     "transient": 0.1, "never": 0.0}
    >>> path_weights(np.array([[0.7, 0.8], [0.7, 0.3]]), even, sure).round(2).tolist()
    [0.9, 0.1]
    """
    ratio = np.array([after[name] / max(before[name], RARE) for name in VERDICTS])
    weights = ratio[verdicts_of_paths(flip)]
    return np.asarray(weights / weights.sum())
