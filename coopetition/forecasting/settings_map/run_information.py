"""What one run shows of its parameters, by its log, and of the map, by its verdicts.

A run's θ maximises log p(log | θ) − ½ (θ − m)ᵀ Ω (θ − m), with the map's prediction m, by least
squares with exact derivatives; near there the log-likelihood is stored as a quadratic form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays, StoredArray
from ...curves.verdicts import Verdict
from ...errors import FitError
from ...fitting.multistart import bounded_least_squares, inside
from ...settings.covariates import combination
from ..observations import Observations
from ..theories.theory import Theory

Array = NDArray[np.float64]

SCREENED, POLISHED = 1500, 6  # draws evaluated, and fitted, for a run's first optimum
SHARPEST = 1e6  # largest eigenvalue of a log's information on θ: 0.1 % of a parameter
MISS = 30.0  # standardised residual of a simulation that failed


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """The verdict of a run at a horizon, and its prediction by the other runs.

    Parameters
    ----------
    horizon
        In sequences.
    verdict
        Of the run's log.
    predicted
        The theory's verdict probabilities from the settings alone, by a map without runs of those
        settings.
    """

    horizon: float
    verdict: Verdict
    predicted: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunInformation(ReadOnlyArrays):
    """The information in one run's log on its parameters, near its optimum.

    Parameters
    ----------
    run
        Its name.
    settings
        Its covariates, None where unknown.
    kind
        Its kind of data.
    until
        Sequences of its log that were used.
    optimum
        θ at the optimum under the map, shape ``(k,)``.
    information, score
        H and b of the quadratic log-likelihood b·θ − ½ θᵀ H θ, shapes ``(k, k)`` and ``(k,)``.
    source
        Path and checksum of the log, or what it was read from.
    verdicts
        At some horizons; empty if the log has no verdict.
    """

    run: str
    settings: Mapping[str, float | None]
    kind: str
    until: float
    optimum: StoredArray
    information: StoredArray
    score: StoredArray
    source: Mapping[str, Any]
    verdicts: tuple[VerdictRecord, ...] = ()

    @property
    def combination(self) -> tuple[Any, ...]:
        """Kind of data and covariates: equal in runs that differ in their seed only."""
        return combination(self.kind, self.settings)


def screened(
    theory: Theory, log: Observations, mean: Array, variance: Array, rng: np.random.Generator
) -> Array:
    """The draws from a wide prior that fit best, shape ``(POLISHED, k)``."""
    thetas = mean + np.sqrt(variance) * rng.standard_normal((SCREENED, len(mean)))
    thetas[0] = mean
    fit = log.log_likelihood(theory.curves(thetas, log.times))
    fit -= 0.5 * np.sum((thetas - mean) ** 2 / variance, axis=1)
    return thetas[np.argsort(-fit)[:POLISHED]]


def optimum_of(
    theory: Theory,
    log: Observations,
    mean: Array,
    omega: Array,
    starts: Array,
    evaluations: int,
    limits: tuple[Array, Array],
) -> Array:
    """The best optimum of least squares with the prior, within limits, ``(k,)``."""
    root = np.sqrt(omega)  # diagonal
    optima: list[tuple[float, Array]] = []
    for start in inside(starts, limits):
        scale = _scale(theory, log, start)

        def evaluate(theta: Array, scale: int = scale) -> tuple[Array, Array]:
            slopes = theory.slopes(theta, log.times)
            if slopes is None:
                residuals = np.full(log.count, MISS)
                jacobian = np.zeros((log.count, len(theta)))
            else:
                residuals, jacobian = log.residuals(slopes, scale)
            return (
                np.concatenate([residuals, root @ (theta - mean)]),
                np.concatenate([jacobian, root]),
            )

        theta = bounded_least_squares(
            evaluate, start, limits, evaluations=evaluations, ftol=1e-6, xtol=1e-6, gtol=1e-6
        ).x
        deviation = root @ (theta - mean)
        likelihood = log.log_likelihood(theory.curves(theta[None], log.times))[0]
        optima.append((0.5 * float(deviation @ deviation) - float(likelihood), theta))
    if not optima:
        raise FitError(f"no start to fit run {log.run} from")
    return min(optima, key=lambda optimum: optimum[0])[1]


def informed(
    theory: Theory, log: Observations, member: RunInformation, optimum: Array
) -> RunInformation:
    """The run with the quadratic form of its log-likelihood at the optimum."""
    slopes = theory.slopes(optimum, log.times)
    if slopes is None:
        zeros = np.zeros((len(optimum), len(optimum)))
        return dataclasses.replace(member, information=zeros, score=zeros[0])
    residuals, jacobian = log.residuals(slopes, _scale(theory, log, optimum))
    sizes, directions = np.linalg.eigh(jacobian.T @ jacobian)
    # beyond this a direction is as good as exact, and larger numbers only lose digits
    share = np.minimum(1.0, SHARPEST / np.maximum(sizes, 1e-300))
    information = (directions * np.maximum(sizes, 0.0) * share) @ directions.T
    slope = (directions * share) @ (directions.T @ (jacobian.T @ residuals))
    return dataclasses.replace(
        member, optimum=optimum, information=information, score=information @ optimum - slope
    )


def _scale(theory: Theory, log: Observations, theta: Array) -> int:
    """The most probable λ at θ, as an index."""
    return int(np.argmax(log.log_likelihoods(theory.curves(theta[None], log.times))[0]))
