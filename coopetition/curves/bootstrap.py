"""What repeated measurements of a curve say of a number read off it: its interval and its bias.

A replicate is the estimated curve with its noise added once more, so that it scatters about the
estimate as the estimate does about the truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Bounds = tuple[float | None, float | None]

PLATEAU = 1.0 + 2.0**0.5  # bias of the highest of many equal points, in what replicates show of it


def central_interval(values: Sequence[float | None], level: float) -> Bounds:
    """The central interval of replicates; a value that is missing lies beyond all others.

    Parameters
    ----------
    values
        The number read off each replicate, None where it has none.
    level
        Share of the replicates within.

    Returns
    -------
    tuple
        Lower and upper bound, None where that many replicates have no value.

    Examples
    --------
    >>> central_interval([1.0, 2.0, 3.0, None, None], 0.6)
    (1.0, None)
    """
    known = np.array([np.inf if value is None else value for value in values])
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="closest_observation")
    lower, upper = (float(q) if np.isfinite(q) else None for q in (low, high))
    return lower, upper


def open_below(bounds: Bounds, first: float) -> Bounds:
    """The bounds, without a lower one at the data's first point: what happened may lie before.

    Examples
    --------
    >>> open_below((5.0, 7.0), 5.0), open_below((6.0, 7.0), 5.0)
    ((None, 7.0), (6.0, 7.0))
    """
    lower, upper = bounds
    return (None if lower is not None and lower <= first else lower), upper


def highest(estimate: float, values: Sequence[float], level: float) -> tuple[float, float, float]:
    """The height of a curve's highest point and its interval, from the estimated curve's.

    Noise raises a maximum: the estimate e lies above the truth, and the replicates' heights above
    e. Where b is their mean excess over e and q₁, q₂ their central interval, the height is e − b in
    [2e − q₂ − √2 b, 2e − q₁]. At a sharp peak the bias goes with the noise's variance, which a
    replicate doubles, and is b; among many equal points it goes with the standard deviation, and is
    (1 + √2) b, for which the lower bound leaves room.

    Parameters
    ----------
    estimate
        Height of the estimated curve.
    values
        Heights of the replicates.
    level
        Coverage that is meant.

    Returns
    -------
    tuple
        Height, lower bound, upper bound.

    References
    ----------
    Davison & Hinkley 1997, Bootstrap Methods and their Application, section 5.2 (the basic
    interval).
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    bias = max(float(np.mean(values)) - estimate, 0.0)
    height = estimate - bias
    lower = 2 * estimate - float(high) - (PLATEAU - 1) * bias
    upper = 2 * estimate - float(low)
    return height, min(lower, height), max(upper, height)
