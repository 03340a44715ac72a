"""A straight line on the logit scale through the latter half of a curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import logistic
from .extrapolation import to_logit

Array = NDArray[np.float64]

SHARE = 0.5  # of the curve, its end, that the line is fitted to
FEWEST = 4


class LogitLinear:
    """logit p = a + b t by least squares, with a and b as uncertain as the residuals make them."""

    name = "logit-linear"

    def paths(
        self, sequences: Array, values: Array, grid: Array, rng: np.random.Generator, *, draws: int
    ) -> Array:
        """See `Extrapolation.paths`."""
        used = min(max(int(SHARE * len(values)), FEWEST), len(values))
        middle, scale = float(np.mean(sequences[-used:])), float(np.ptp(sequences[-used:]))
        design = np.stack([np.ones(used), (sequences[-used:] - middle) / scale], axis=1)
        logits = to_logit(values[-used:])
        inverse = np.linalg.inv(design.T @ design)
        line = inverse @ design.T @ logits
        freedom = max(used - 2, 1)
        variance = float(np.sum((logits - design @ line) ** 2)) / freedom
        spread = np.sqrt(variance * freedom / rng.chisquare(freedom, draws))[:, None]
        factor = np.linalg.cholesky(inverse)
        lines = line + spread * (rng.standard_normal((draws, 2)) @ factor.T)
        ahead = np.stack([np.ones(len(grid)), (grid - middle) / scale], axis=1)
        noise = spread * rng.standard_normal((draws, len(grid)))
        return logistic(lines @ ahead.T + noise)
