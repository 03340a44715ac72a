"""What the residuals of a fit say about the model, and how many points they are worth.

Systematic misses show as runs of one sign: autocorrelation, its time τ = 1 + 2 Σ ρ_k, and the
number n/τ of independent residuals that would say as much. Signs and neighbours are both about 0,
not about the residuals' mean or median: a miss of one sign is a miss.

Reference: Sokal 1997, Monte Carlo methods in statistical mechanics, section 2 (τ).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from ..readout import Key

RUNS_P = 0.01  # below it signs change too seldom, or too often, for independent residuals
LAG_LIMIT = 2.58  # standard deviations of a chance correlation of neighbours: 1 in 100
WINDOW = 5.0  # of the correlation time, as usual (Sokal)
LARGE_RMSE = 0.05  # of an accuracy: a miss that shows at a glance


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualDiagnostics:
    """The residuals of one curve.

    Parameters
    ----------
    key
        ``(evaluator, metric)``.
    points
        Number of residuals.
    rmse
        Root-mean-square of measured − predicted, in the metric's units.
    bias
        Their mean.
    chi2
        Mean of (residual/σ)².
    autocorrelation
        Correlation of neighbouring residuals.
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
        """Whether signs or neighbours hang together more than chance would have it.

        Each is tested at 1 %: signs miss a short but large excursion, neighbours a long small one.
        """
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


def diagnose(
    key: Key, residuals: NDArray[np.float64], sigma: NDArray[np.float64]
) -> ResidualDiagnostics:
    """The diagnostics of one curve's residuals, in the order of sequences.

    Parameters
    ----------
    key
        The curve.
    residuals
        measured − predicted, shape ``(points,)``.
    sigma
        Their assumed standard deviations, shape ``(points,)``.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(np.linspace(0, 6, 200))
    >>> bool(diagnose(("icl", "in_context_acc"), wave, np.ones(200)).effective < 10)
    True
    """
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


def _autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """ρ_k about 0, not about the mean: a constant miss is as correlated as can be."""
    n = len(values)
    spectrum = np.abs(np.fft.rfft(values, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:n]
    if covariance[0] <= 0:
        return np.concatenate([[1.0], np.zeros(n - 1)])
    return np.asarray(covariance / covariance[0])


def _correlation_time(correlations: NDArray[np.float64]) -> float:
    """τ, summed over a window of `WINDOW` τ: further out there is only noise; at least 1."""
    times = 2.0 * np.cumsum(correlations) - 1.0
    wide_enough = np.flatnonzero(np.arange(len(times)) >= WINDOW * times)
    time = times[wide_enough[0]] if len(wide_enough) else np.max(times)
    return float(np.clip(time, 1.0, len(correlations)))


def _runs_p(values: NDArray[np.float64]) -> float:
    from scipy.special import bdtr

    signs = values[values != 0] > 0
    if len(signs) < 2:
        return 1.0
    pairs = len(signs) - 1
    changes = int(np.sum(signs[1:] != signs[:-1]))
    return min(1.0, 2.0 * float(bdtr(min(changes, pairs - changes), pairs, 0.5)))
