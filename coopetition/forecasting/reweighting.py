"""Futures reweighted so that verdicts have other odds: Jeffrey's rule.

Where experience says q(v) of the verdicts and the theory's futures from settings alone say p(v), a
future with verdict v counts q(v)/p(v), with a log seen or without. Within a verdict nothing
changes.

Reference: Diaconis & Zabell 1982, J. Am. Stat. Assoc. 77:822.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..curves.landmarks import VERDICTS
from ..curves.outcomes import RARE, verdicts_of_paths

Array = NDArray[np.float64]


def weights_of(flip: Array, before: Mapping[str, float], after: Mapping[str, float]) -> Array:
    """What each future counts, together 1.

    Parameters
    ----------
    flip
        Flip accuracies of the futures, shape ``(draws, times)``.
    before, after
        p and q.

    Examples
    --------
    >>> even, sure = {"persistent": 0.5, "transient": 0.5, "never": 0.0}, {"persistent": 0.9,
    ...     "transient": 0.1, "never": 0.0}
    >>> weights_of(np.array([[0.7, 0.8], [0.7, 0.3]]), even, sure).round(2).tolist()
    [0.9, 0.1]
    """
    ratio = np.array([after[name] / max(before[name], RARE) for name in VERDICTS])
    weights = ratio[verdicts_of_paths(flip)]
    return np.asarray(weights / weights.sum())


def resampled(weights: Array) -> NDArray[np.intp]:
    """As many indices as weights, each as often as it weighs, in order (systematic resampling).

    Equal weights give every index once.

    Examples
    --------
    >>> resampled(np.array([0.5, 0.0, 0.25, 0.25])).tolist()
    [0, 0, 2, 3]
    """
    places = (np.arange(len(weights)) + 0.5) / len(weights)
    ends = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(ends, places), len(weights) - 1)
