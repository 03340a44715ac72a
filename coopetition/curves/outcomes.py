"""Landmarks and verdicts of many possible futures at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .landmarks import CROSSED, EMERGED, MARGIN, VERDICTS, Verdict, verdict_indices

Array = NDArray[np.float64]

CHANCE = 0.5
RARE = 0.003  # least probability of a verdict that corrections reckon with


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkForecast:
    """The distribution of a landmark.

    Parameters
    ----------
    probability
        That it comes by the horizon.
    median, lower, upper
        Quantiles in sequences (a flip accuracy for ``peak_flip``), futures without the landmark
        counted as beyond the horizon; None where the quantile lies there.
    """

    probability: float
    median: float | None
    lower: float | None
    upper: float | None


def landmarks_of_paths(x: Array, flip: Array, icl: Array | None) -> Mapping[str, Array]:
    """Landmarks of each path, as `coopetition.curves.landmarks` defines them; inf where there is
    none.

    Parameters
    ----------
    x
        Sequences, increasing, shape ``(times,)``.
    flip, icl
        Accuracies, shape ``(draws, times)``; icl may be missing.

    Returns
    -------
    Mapping
        ``emergence, peak, peak_flip, crossover`` and, with icl, ``vanishing``, ``(draws,)`` each.

    Examples
    --------
    >>> found = landmarks_of_paths(np.array([0.0, 10.0, 20.0]), np.array([[0.5, 0.7, 0.3]]), None)
    >>> float(found["emergence"][0]), float(found["crossover"][0])
    (5.0, 15.0)
    """
    rows = np.arange(len(flip))
    emergence, begins = _first(x, flip, EMERGED, flip >= EMERGED)
    top = np.argmax(flip, axis=1)
    after = np.arange(len(x)) > begins[:, None]
    emerged = np.isfinite(emergence)[:, None]
    found = {
        "emergence": emergence,
        "peak": x[top],
        "peak_flip": flip[rows, top],
        "crossover": _first(x, flip, CROSSED, (flip < CROSSED) & after & emerged)[0],
    }
    if icl is not None:
        level = CHANCE + MARGIN
        fell = np.zeros_like(icl, dtype=bool)
        fell[:, 1:] = (icl[:, 1:] < level) & (icl[:, :-1] >= level)
        # in the step in which flip emerges, icl may fall before it or after
        there = np.arange(len(x)) == begins[:, None]
        soon = _first(x, icl, level, fell & there & emerged)[0]
        later = _first(x, icl, level, fell & after & emerged)[0]
        found["vanishing"] = np.where(soon < emergence, later, np.minimum(soon, later))
    return found


def verdict_probabilities(flip: Array) -> Mapping[str, float]:
    """Share of the paths with each verdict at their end; flip is ``(draws, times)``.

    Examples
    --------
    >>> verdict_probabilities(np.array([[0.5, 0.7, 0.3], [0.5, 0.7, 0.8]]))["transient"]
    0.5
    """
    found = verdicts_of_paths(flip)
    return {name: float(np.mean(found == i)) for i, name in enumerate(VERDICTS)}


def verdicts_of_paths(flip: Array) -> NDArray[np.intp]:
    """Each path's verdict at its end, an index of `VERDICTS`; flip is ``(draws, times)``."""
    return verdict_indices(np.any(flip >= EMERGED, axis=1), flip[:, -1])


def most_probable(chances: Mapping[str, float]) -> Verdict:
    """The most probable verdict; where several are, ``never`` before the others.

    Examples
    --------
    >>> most_probable({"persistent": 0.5, "transient": 0.0, "never": 0.5})
    'never'
    """
    in_order: tuple[Verdict, ...] = ("never", "persistent", "transient")
    return max(in_order, key=lambda name: chances[name])


def distribution(values: Array, level: float) -> LandmarkForecast:
    """The distribution of a landmark from its draws, inf where it does not come."""
    quantiles = np.quantile(
        values, [0.5, (1 - level) / 2, (1 + level) / 2], method="closest_observation"
    )
    median, lower, upper = (float(q) if np.isfinite(q) else None for q in quantiles)
    return LandmarkForecast(
        probability=float(np.mean(np.isfinite(values))), median=median, lower=lower, upper=upper
    )


def _first(
    x: Array, y: Array, level: float, where: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.intp]]:
    """Where y first takes the level on its way to a marked point, and that point's index."""
    at = np.argmax(where, axis=1)
    rows = np.arange(len(y))
    before = np.maximum(at - 1, 0)
    old, new = y[rows, before], y[rows, at]
    rise = np.where(new == old, 1.0, new - old)
    share = np.clip(np.where(at == 0, 1.0, (level - old) / rise), 0.0, 1.0)
    place = x[before] + share * (x[at] - x[before])
    return np.where(where.any(axis=1), place, np.inf), at
