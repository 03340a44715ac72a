"""Times that resolve how a curve begins and still reach a far horizon.

ICL comes and goes early; a hundred equal steps to a horizon a hundred times as far would step over
all of it. Steps are equal in asinh(t / bend) instead: equal in t well before the bend, in log t
well after it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BEND = 4e6  # sequences at the base time scale (learning rate 1e-5, batch 32): ICL has come by then


def bent(end: float, bend: float, steps: int) -> Array:
    """The times, from 0 to the end.

    Parameters
    ----------
    end
        Last time, positive.
    bend
        Where equal steps of t turn into equal steps of log t, positive.
    steps
        How many.

    Returns
    -------
    ndarray
        bend · sinh(i u / steps) with u = asinh(end / bend), shape ``(steps + 1,)``.

    Raises
    ------
    ValueError
        If the end or the bend is not a positive number.

    Examples
    --------
    >>> bent(100.0, 1e9, 4).round(3).tolist()
    [0.0, 25.0, 50.0, 75.0, 100.0]
    >>> bent(100.0, 1.0, 4).round(1).tolist()
    [0.0, 1.7, 7.0, 26.6, 100.0]
    """
    for name, value in (("end", end), ("bend", bend)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value!r}: must be a positive number")
    times = bend * np.sinh(np.linspace(0.0, math.asinh(end / bend), steps + 1))
    times[-1] = end
    return np.asarray(times)
