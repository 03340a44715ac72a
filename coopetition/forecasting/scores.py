"""Proper scores of forecasts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import unknown_name

Array = NDArray[np.float64]


def brier(probabilities: Mapping[str, float], outcome: str) -> float:
    """Σ_v (p_v − o_v)² over the verdicts, 0 for a sure hit and 2 for a sure miss.

    Half of it is the score of a yes–no forecast. An even guess between three scores 2/3. (Brier
    1950, Monthly Weather Review 78:1.)
    """
    if outcome not in probabilities:
        raise unknown_name("outcome", outcome, probabilities)
    return float(sum((p - float(name == outcome)) ** 2 for name, p in probabilities.items()))


def coverage(lower: Array, upper: Array, truth: Array) -> float:
    """Share of the true values that lie in their intervals, ends included."""
    return float(np.mean((truth >= lower) & (truth <= upper)))


def interval_score(lower: Array, upper: Array, truth: Array, level: float) -> float:
    """Mean of (u − l) + (2/α) ((l − y)⁺ + (y − u)⁺), α = 1 − level; smaller is better.

    Reference: Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102:359.
    """
    outside = np.maximum(lower - truth, 0.0) + np.maximum(truth - upper, 0.0)
    return float(np.mean(upper - lower + 2.0 / (1.0 - level) * outside))
