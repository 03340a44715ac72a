"""Residuals of a fit: their autocorrelation, and how many independent ones they are worth.

A smooth model misses a smooth curve smoothly: residuals keep their sign for long, and hundreds say
as little as a few dozen independent ones. `diagnose` describes one curve. Standardised residuals of
all curves are described by one stationary process,

    r_t = u_t + w_t,   u an Ornstein–Uhlenbeck process of variance a² and length ℓ (in points),
                       w white of variance b²,

whose likelihood gives criteria that count no residual twice, and whose covariance K gives the
factor by which χ² overstates what it knows, tr(F⁻¹ Jᵀ K J)/k with F = JᵀJ.

Reference: Kennedy & O'Hagan 2001, J. R. Stat. Soc. B 63:425 (model discrepancy as a process); Pace,
Salvan & Sartori 2011, Stat. Sinica 21:129 (adjusted likelihood).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import jit
from ..dynamics.readout import Key

Array = NDArray[np.float64]

HYPERPARAMETERS = 3  # of the process of residuals
LENGTHS = (3.0, 20.0, 60.0)  # points: where the search for ℓ starts
LONGEST = 1e4
LEAST_WHITE = 1e-6  # of all variance, so that the likelihood stays bounded
RUNS_P = 0.01  # below it signs change too seldom, or too often, for independent residuals
LAG_LIMIT = 2.58  # standard deviations of a chance correlation of neighbours: 1 in 100
WINDOW = 5.0  # of the correlation time, as usual (Sokal)
LARGE_RMSE = 0.05  # of an accuracy: a miss that shows at a glance


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualDiagnostics:
    """The residuals of one curve.

    Parameters
    ----------
    key, points
        ``(evaluator, metric)``, and the number of residuals.
    rmse, bias
        Root-mean-square and mean of measured − predicted, in the metric's units.
    chi2, autocorrelation
        Mean of (residual/σ)², and correlation of neighbouring residuals.
    effective
        Number of independent residuals that say as much, at most ``points``.
    runs_p
        Two-sided p-value of the number of sign changes, binomial for independent residuals.
    """

    key: Key
    points: int
    rmse: float
    bias: float
    chi2: float
    autocorrelation: float
    effective: float
    runs_p: float

    @property
    def autocorrelated(self) -> bool:
        """Whether signs (long, small misses) or neighbours (short, large ones) are not random."""
        by_chance = LAG_LIMIT / math.sqrt(max(self.points, 1))
        return self.runs_p < RUNS_P or abs(self.autocorrelation) > by_chance

    def summary(self) -> str:
        """One line of text."""
        name = "/".join(self.key)
        verdict = "autocorrelated" if self.autocorrelated else "look independent"
        return (
            f"{name}: rmse {self.rmse:.4f}, bias {self.bias:+.4f}, residuals {verdict} "
            f"(lag 1: {self.autocorrelation:.2f}; {self.points} points worth {self.effective:.0f})"
        )


def diagnose(key: Key, residuals: Array, sigma: Array) -> ResidualDiagnostics:
    """The diagnostics of one curve's measured − predicted, ``(points,)``, in order of sequences."""
    scaled = residuals / sigma
    correlations = _autocorrelation(scaled)
    return ResidualDiagnostics(
        key=key,
        points=len(residuals),
        rmse=float(np.sqrt(np.mean(residuals**2))),
        bias=float(np.mean(residuals)),
        chi2=float(np.mean(scaled**2)),
        autocorrelation=float(correlations[1]) if len(correlations) > 1 else 0.0,
        effective=len(residuals) / _correlation_time(correlations),
        runs_p=_runs_p(scaled),
    )


def _autocorrelation(values: Array) -> Array:
    """Correlations about 0, not about the mean: a constant miss is fully correlated."""
    n = len(values)
    spectrum = np.abs(np.fft.rfft(values, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:n]
    if covariance[0] <= 0:
        return np.concatenate([[1.0], np.zeros(n - 1)])
    return np.asarray(covariance / covariance[0])


def _correlation_time(correlations: Array) -> float:
    """τ, summed over a window of `WINDOW` τ: further out there is only noise; at least 1."""
    times = 2.0 * np.cumsum(correlations) - 1.0
    windows = np.flatnonzero(np.arange(len(times)) >= WINDOW * times)
    time = times[windows[0]] if len(windows) else np.max(times)
    return float(np.clip(time, 1.0, len(correlations)))


def _runs_p(values: Array) -> float:
    """The p-value of the number of sign changes, see `ResidualDiagnostics`."""
    from scipy.special import bdtr

    signs = values[values != 0] > 0
    if len(signs) < 2:
        return 1.0
    pairs = len(signs) - 1
    changes = int(np.sum(signs[1:] != signs[:-1]))
    return min(1.0, 2.0 * float(bdtr(min(changes, pairs - changes), pairs, 0.5)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """The process of standardised residuals, a², ℓ and b², and its deviance."""

    slow: float
    length: float
    white: float
    deviance: float  # −2 log-likelihood of all residuals, without the constant n ln 2π

    def covariance(self, points: int) -> Array:
        """K of one curve's residuals, shape ``(points, points)``."""
        gaps = np.abs(np.subtract.outer(np.arange(points), np.arange(points)))
        return self.slow * np.exp(-gaps / self.length) + self.white * np.eye(points)


def residual_noise(curves: Sequence[Array]) -> Noise:
    """The most likely process for the standardised residuals ``(points,)`` of several curves."""
    from scipy.optimize import minimize

    total = max(float(np.mean(np.concatenate(curves) ** 2)), 1e-30)
    unit = [np.ascontiguousarray(curve / np.sqrt(total)) for curve in curves]
    deviance = _deviance()

    def cost(theta: Array) -> float:
        slow, length, white = _hyperparameters(theta)
        return float(sum(deviance(curve, slow, np.exp(-1.0 / length), white) for curve in unit))

    optima = [
        minimize(
            cost,
            np.log([0.9, length, 0.1]),
            method="Nelder-Mead",
            options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 600},
        )
        for length in LENGTHS
    ]
    best = min(optima, key=lambda result: result.fun)
    slow, length, white = _hyperparameters(best.x)
    count = sum(map(len, unit))
    return Noise(
        slow=slow * total,
        length=length,
        white=white * total,
        deviance=float(best.fun) + count * float(np.log(total)),
    )


def overstatement(noise: Noise, jacobians: Sequence[Array]) -> float:
    """tr(F⁻¹ Jᵀ K J)/k over directions with an effect; each curve's Jacobian ``(points, k)``."""
    # with J = U Σ Vᵀ the trace is that of Uᵀ K U, curve by curve
    left, sizes, _ = np.linalg.svd(np.concatenate(jacobians), full_matrices=False)
    effects = left[:, sizes > 1e-7 * np.max(sizes, initial=0.0)]
    if effects.shape[1] == 0:
        return noise.slow + noise.white
    total, row = 0.0, 0
    for jacobian in jacobians:
        own = effects[row : row + len(jacobian)]
        total += float(np.sum(own * (noise.covariance(len(own)) @ own)))
        row += len(jacobian)
    return total / int(effects.shape[1])


def _hyperparameters(theta: Array) -> tuple[float, float, float]:
    """a², ℓ and b² from the optimiser's numbers."""
    slow, length, white = np.exp(np.clip(theta, -30.0, 30.0))
    return float(slow), float(np.clip(length, 0.1, LONGEST)), float(white) + LEAST_WHITE


@functools.cache
def _deviance() -> Callable[[Array, float, float, float], float]:
    """The Kalman filter of the process, compiled."""
    return jit(_filtered)  # type: ignore[no-any-return]


def _filtered(curve: Any, slow: float, decay: float, white: float) -> float:
    """Σ ln S_t + v_t²/S_t over the innovations v of one curve."""
    mean, variance, total = 0.0, slow, 0.0
    for value in curve:
        spread = variance + white
        innovation = value - mean
        total += np.log(spread) + innovation * innovation / spread
        gain = variance / spread
        mean = decay * (mean + gain * innovation)
        variance = decay * decay * variance * (1.0 - gain) + slow * (1.0 - decay * decay)
    return total
