"""Extrapolations of one curve by itself: no theory, no other runs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import logistic

Array = NDArray[np.float64]

EDGE = 0.005  # accuracies are kept this far from 0 and 1 on the logit scale
AVERAGED = 3  # last points that `LastValue` averages
SHARE, FEWEST = 0.5, 4  # of the points, the last, that `LogitLinear` fits; and at least
JITTER = 1e-8
STARTS = (0.1, 0.3, 1.0)  # of the Gaussian process's length, in units of the curve's span


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


class LogitLinear:
    """logit p = a + b t on the curve's latter half, by least squares with the errors of a and b."""

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
