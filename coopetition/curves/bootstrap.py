"""What repeated measurements of a curve say of a number read off it: its interval and its bias.

A replicate is the estimated curve with its noise added once more, so that it scatters about the
estimate as the estimate does about the truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]

PLATEAU = 1.0 + 2.0**0.5  # bias of the highest of many equal points, in what replicates show of it


def central_interval(values: Array, level: float) -> Bounds:
    """The interval that holds the central ``level`` of the values; None for a bound at inf.

    Examples
    --------
    >>> central_interval(np.array([1.0, 2.0, 3.0, np.inf, np.inf]), 0.6)
    (1.0, None)
    """
    return quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)


def quantile(values: Array, share: float) -> float | None:
    """The value that this share of the values does not exceed; None where it is inf."""
    value = float(np.quantile(values, share, method="closest_observation"))
    return value if np.isfinite(value) else None


def open_below(bounds: Bounds, first: float) -> Bounds:
    """The bounds, without a lower one at the data's first point: what happened may lie before."""
    lower, upper = bounds
    return (None if lower is not None and lower <= first else lower), upper


def highest(estimate: float, values: Array, level: float) -> tuple[float, float, float]:
    """The height of a curve's highest point, and bounds, from its estimate and its replicates'.

    Noise raises a maximum: the estimate e lies above the truth, and the replicates' heights above
    e. Where b is their mean excess over e and q₁, q₂ their central interval, the height is e − b in
    [2e − q₂ − √2 b, 2e − q₁]. At a sharp peak the bias goes with the noise's variance, which a
    replicate doubles, and is b; among many equal points it goes with the standard deviation, and is
    (1 + √2) b, for which the lower bound leaves room. (The basic interval of Davison & Hinkley
    1997, Bootstrap Methods and their Application, section 5.2.)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    bias = max(float(np.mean(values)) - estimate, 0.0)
    height = estimate - bias
    lower = 2 * estimate - float(high) - (PLATEAU - 1) * bias
    upper = 2 * estimate - float(low)
    return height, min(lower, height), max(upper, height)
