"""A Gaussian process through the curve, its hyperparameters by maximum likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import logistic
from .extrapolation import to_logit

Array = NDArray[np.float64]

JITTER = 1e-8
STARTS = (0.1, 0.3, 1.0)  # of the length, in units of the curve's span


class GaussianProcess:
    """logit p = constant + GP(Matérn 5/2) + noise against sequences.

    The constant is integrated out under a wide prior; length, amplitude and noise maximise the
    marginal likelihood from three starts.
    """

    name = "gaussian process"

    def paths(
        self, sequences: Array, values: Array, grid: Array, rng: np.random.Generator, *, draws: int
    ) -> Array:
        """See `Extrapolation.paths`."""
        from scipy.optimize import minimize

        span = float(np.ptp(sequences))
        x, y = sequences / span, to_logit(values)

        def cost(theta: Array) -> float:
            factor = np.linalg.cholesky(_covariance(x, x, theta) + _noise(theta, len(x)))
            white = np.linalg.solve(factor, y)
            return float(0.5 * white @ white + np.sum(np.log(np.diag(factor))))

        bounds = [(np.log(0.03), np.log(10.0)), (np.log(0.05), np.log(10.0)), (-6.0, 0.0)]
        optima = [
            minimize(cost, np.array([np.log(s), 0.0, -3.0]), bounds=bounds, method="L-BFGS-B")
            for s in STARTS
        ]
        theta = min(optima, key=lambda optimum: optimum.fun).x
        ahead = grid / span
        covariance = _covariance(x, x, theta) + _noise(theta, len(x))
        gain = np.linalg.solve(covariance, _covariance(x, ahead, theta)).T
        spread = _covariance(ahead, ahead, theta) - gain @ _covariance(x, ahead, theta)
        factor = np.linalg.cholesky(0.5 * (spread + spread.T) + _noise(theta, len(ahead)))
        normal = rng.standard_normal((draws, len(grid)))
        return logistic(gain @ y + normal @ factor.T)


def _covariance(x: Array, z: Array, theta: Array) -> Array:
    """Wide constant plus Matérn 5/2; θ = log length, log amplitude, log noise."""
    h = np.sqrt(5.0) * np.abs(x[:, None] - z[None, :]) / np.exp(theta[0])
    matern = (1.0 + h + h**2 / 3.0) * np.exp(-h)
    return np.asarray(4.0 + np.exp(2.0 * theta[1]) * matern)


def _noise(theta: Array, count: int) -> Array:
    """Diagonal of the points' own variance."""
    return np.asarray((np.exp(2.0 * theta[2]) + JITTER) * np.eye(count))
