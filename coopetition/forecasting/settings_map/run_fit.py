"""One run's parameters under a map's prediction: where its log is best met, and how sharply.

A run's θ maximises log p(log | θ) − ½ (θ − m)ᵀ Ω (θ − m) by least squares with exact derivatives;
near there the log-likelihood is kept as a quadratic form.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...fitting.multistart import bounded_least_squares, inside
from ..observations import Observations
from ..theories.theory import Theory
from .run_information import RunInformation

Array = NDArray[np.float64]

SCREENED, POLISHED = 1500, 6  # draws looked at, and fitted, for a run's first optimum
SHARPEST = 1e6  # largest eigenvalue of a log's information on θ: 0.1 % of a parameter
MISS = 30.0  # standardised residual of a simulation that failed


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
        away = root @ (theta - mean)
        likelihood = log.log_likelihood(theory.curves(theta[None], log.times))[0]
        optima.append((0.5 * float(away @ away) - float(likelihood), theta))
    if not optima:
        raise FitError(f"no start to fit run {log.run} from")
    return min(optima, key=lambda optimum: optimum[0])[1]


def informed(
    theory: Theory, log: Observations, member: RunInformation, optimum: Array
) -> RunInformation:
    """The run with the quadratic form of its log-likelihood at the optimum."""
    slopes = theory.slopes(optimum, log.times)
    if slopes is None:
        nothing = np.zeros((len(optimum), len(optimum)))
        return dataclasses.replace(member, information=nothing, score=nothing[0])
    residuals, jacobian = log.residuals(slopes, _scale(theory, log, optimum))
    sizes, directions = np.linalg.eigh(jacobian.T @ jacobian)
    # beyond this a direction is known exactly, and larger numbers only lose digits
    share = np.minimum(1.0, SHARPEST / np.maximum(sizes, 1e-300))
    information = (directions * np.maximum(sizes, 0.0) * share) @ directions.T
    slope = (directions * share) @ (directions.T @ (jacobian.T @ residuals))
    return dataclasses.replace(
        member, optimum=optimum, information=information, score=information @ optimum - slope
    )


def _scale(theory: Theory, log: Observations, theta: Array) -> int:
    """The most probable λ at θ, as an index."""
    return int(np.argmax(log.log_likelihoods(theory.curves(theta[None], log.times))[0]))
