"""The last value carried forward, as uncertain as the curve has been changeable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

AVERAGED = 3  # last points that are averaged


class LastValue:
    """A random walk from the last value, with the variance per sequence of the curve so far."""

    name = "last value"

    def paths(
        self, sequences: Array, values: Array, grid: Array, rng: np.random.Generator, *, draws: int
    ) -> Array:
        """See `Extrapolation.paths`."""
        variance = float(np.mean(np.diff(values) ** 2 / np.diff(sequences)))
        gaps = np.diff(np.concatenate([[sequences[-1]], grid]))
        steps = np.sqrt(variance * gaps) * rng.standard_normal((draws, len(grid)))
        return np.clip(np.mean(values[-AVERAGED:]) + np.cumsum(steps, axis=1), 0.0, 1.0)
