"""Where sampled curves rise to a level, fall through it, and are highest.

Curves are points x ``(times,)``, increasing, and y ``(…, times)``, with straight lines between.
Landmarks of logs, trajectories, forecasts and phase diagrams all rest on this code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def first_rise(x: Array, y: Array, level: float) -> Array:
    """Where each curve is first ≥ level, ``(…,)``: its first point if it starts there, or inf."""
    reached = y >= level
    end = np.argmax(reached, axis=-1)
    with np.errstate(all="ignore"):  # where there is no line to the point
        place = _on_line(x[end - 1], x[end], _at(y, end - 1), _at(y, end), level)
    return np.where(_at(reached, end), np.where(end == 0, x[0], place), np.inf)


def first_fall(x: Array, y: Array, level: float, *, after: Array) -> Array:
    """Where each curve first falls from ≥ level to below it, not before ``after``; inf if nowhere.

    ``after`` and the result are ``(…,)``.
    """
    curves, high = y.reshape(-1, len(x)), y.reshape(-1, len(x)) >= level
    curve, line = np.nonzero(high[:, :-1] & ~high[:, 1:])
    place = _on_line(x[line], x[line + 1], curves[curve, line], curves[curve, line + 1], level)
    counts = place >= after.reshape(-1)[curve]  # a fall to NaN does not
    first = np.full(len(curves), np.inf)
    np.minimum.at(first, curve[counts], place[counts])
    return first.reshape(y.shape[:-1])


def top(x: Array, y: Array) -> tuple[Array, Array]:
    """Where each curve is highest and how high, ``(…,)`` each.

    Between points by the parabola through the highest and its neighbours; at an end of the curve,
    and on a plateau, the highest point itself.
    """
    i = np.argmax(y, axis=-1)
    before, beyond = np.maximum(i - 1, 0), np.minimum(i + 1, len(x) - 1)
    at, height = x[i], _at(y, i)
    left, right = at - x[before], x[beyond] - at
    with np.errstate(all="ignore"):  # ends of the curve
        slope_left = (height - _at(y, before)) / left
        slope_right = (_at(y, beyond) - height) / right
        curvature = (slope_right - slope_left) / (left + right)  # half the second derivative
        slope = (slope_left * right + slope_right * left) / (left + right)
        curved = (left > 0) & (right > 0) & (curvature < 0)
        return (
            np.where(curved, at - slope / (2 * curvature), at),
            np.where(curved, height - slope**2 / (4 * curvature), height),
        )


def _at(y: NDArray[Any], i: NDArray[np.intp]) -> NDArray[Any]:
    """The value of each curve ``(…, times)`` at its index ``(…,)``."""
    return np.take_along_axis(y, np.expand_dims(i, -1), axis=-1)[..., 0]


def _on_line(x0: Array, x1: Array, y0: Array, y1: Array, level: float) -> Array:
    """Where lines from (x0, y0) to (x1, y1) take the level, never outside the lines."""
    return np.clip(x0 + (x1 - x0) * (level - y0) / (y1 - y0), x0, x1)
