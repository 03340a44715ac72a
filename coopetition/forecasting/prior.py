"""The prior of a run's parameters, from its settings alone."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays

Array = NDArray[np.float64]

# degrees of freedom: how much runs differ is estimated from about as many runs
FREEDOM = 6.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ParameterPrior(ReadOnlyArrays):
    """A multivariate Student-t distribution of θ, the logarithms of a theory's parameters.

    log p(θ) = −(ν + k)/2 · log(1 + (θ − m)ᵀ C⁻¹ (θ − m)/ν) + const, ν = `FREEDOM`.

    Parameters
    ----------
    names
        The parameters in the order of θ.
    mean
        m, shape ``(k,)``.
    covariance
        C, shape ``(k, k)``.
    time_scale
        Time scale of the settings in units of the base's.
    origin
        The log's count of sequences at which training began.
    notes
        What the settings left open, a sentence each.
    """

    names: tuple[str, ...]
    mean: Array
    covariance: Array
    time_scale: float = 1.0
    origin: float = 0.0
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def _factor(self) -> Array:
        return np.asarray(np.linalg.cholesky(self.covariance))

    @functools.cached_property
    def _whitener(self) -> Array:
        return np.asarray(np.linalg.inv(self._factor))

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draws of θ, shape ``(count, k)``."""
        normal = rng.standard_normal((count, len(self.mean)))
        tails = np.sqrt(rng.chisquare(FREEDOM, count) / FREEDOM)
        return np.asarray(self.mean + (normal / tails[:, None]) @ self._factor.T)

    def log_density(self, thetas: Array) -> Array:
        """Logarithm of p up to a constant, shape ``(batch,)``."""
        return np.asarray(
            -0.5 * (FREEDOM + len(self.mean)) * np.log1p(self.distance(thetas) ** 2 / FREEDOM)
        )

    def distance(self, thetas: Array) -> Array:
        """Mahalanobis distance from the mean, shape ``(batch,)``."""
        white = (thetas - self.mean) @ self._whitener.T
        return np.asarray(np.sqrt(np.sum(white**2, axis=1)))

    def farther(self, distance: float) -> float:
        """Probability of a θ at least so far from the mean: of d²/k in an F distribution."""
        from scipy.special import fdtrc

        k = len(self.mean)
        return float(fdtrc(k, FREEDOM, distance**2 / k))

    def median(self, name: str) -> float:
        """Median of one parameter, in its own units."""
        return float(np.exp(self.mean[self.names.index(name)]))

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """The interval that holds a parameter with probability ``level``, in its own units.

        Symmetric in the logarithm: t · √C either way, t the quantile of Student's distribution.
        """
        from scipy.special import stdtrit

        j = self.names.index(name)
        reach = float(stdtrit(FREEDOM, (1 + level) / 2))
        width = reach * float(np.sqrt(self.covariance[j, j]))
        return float(np.exp(self.mean[j] - width)), float(np.exp(self.mean[j] + width))
