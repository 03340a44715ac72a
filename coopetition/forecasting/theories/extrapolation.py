"""Extrapolations of one curve by itself: no theory, no other runs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EDGE = 0.005  # accuracies are kept this far from 0 and 1 on the logit scale


class Extrapolation(Protocol):
    """Possible continuations of a curve."""

    @property
    def name(self) -> str:
        """One word."""

    def paths(
        self, sequences: Array, values: Array, grid: Array, rng: np.random.Generator, *, draws: int
    ) -> Array:
        """Continuations ``(draws, times)`` at a grid beyond the curve's last point.

        The curve so far, ``(points,)``, has at least 3 points; the grid is ``(times,)``.
        """


def to_logit(accuracy: Array) -> Array:
    """log(p/(1 − p)) of accuracies kept `EDGE` from 0 and 1."""
    p = np.clip(accuracy, EDGE, 1.0 - EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))
