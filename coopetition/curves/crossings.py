"""Where a sampled curve rises to a level, falls through it, and is highest.

Curves are given by points x (increasing) and y, shape ``(points,)``, and linear between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def first_rise(x: Array, y: Array, level: float) -> float | None:
    """Where y is first ≥ level: the first point if it starts there, None if it never is.

    Examples
    --------
    >>> first_rise(np.array([0.0, 10.0]), np.array([0.5, 0.7]), 0.6)
    5.0
    """
    reached = np.flatnonzero(y >= level)
    if not len(reached):
        return None
    i = int(reached[0])
    return float(x[0]) if i == 0 else _crossing(x, y, i, level)


def first_fall(x: Array, y: Array, level: float, *, after: float) -> float | None:
    """Where y first falls from ≥ level to below it, not before ``after``; None where nowhere.

    Examples
    --------
    >>> first_fall(np.array([0.0, 10.0]), np.array([0.6, 0.4]), 0.5, after=0.0)
    5.0
    """
    falls = np.flatnonzero((y[:-1] >= level) & (y[1:] < level)) + 1
    for i in falls:
        where = _crossing(x, y, int(i), level)
        if where >= after:
            return where
    return None


def _crossing(x: Array, y: Array, i: int, level: float) -> float:
    """Where the line from point i − 1 to point i takes the level."""
    return float(x[i - 1] + (x[i] - x[i - 1]) * (level - y[i - 1]) / (y[i] - y[i - 1]))


def top(x: Array, y: Array) -> tuple[float, float]:
    """Where the highest value is and what it is, by the parabola through it and its neighbours.

    At an end of the curve, and on a plateau, it is the highest point itself.

    Examples
    --------
    >>> top(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, -3.0]))  # y = 2x - x²
    (1.0, 1.0)
    """
    i = int(np.argmax(y))
    if not 0 < i < len(x) - 1:
        return float(x[i]), float(y[i])
    left, right = x[i] - x[i - 1], x[i + 1] - x[i]
    slope_left, slope_right = (y[i] - y[i - 1]) / left, (y[i + 1] - y[i]) / right
    curvature = (slope_right - slope_left) / (left + right)  # half the second derivative
    if curvature >= 0:  # a plateau
        return float(x[i]), float(y[i])
    slope = (slope_left * right + slope_right * left) / (left + right)
    return float(x[i] - slope / (2 * curvature)), float(y[i] - slope**2 / (4 * curvature))
