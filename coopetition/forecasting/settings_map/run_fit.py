"""One run's parameters under a map's prediction: where its log is best met, and how sharply.

A run's θ maximises log p(log | θ) − ½ (θ − m)ᵀ Ω (θ − m) by least squares with exact derivatives;
near there the log-likelihood is kept as a quadratic form.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
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
    """The best of the starts after least squares with the prior, within limits, ``(k,)``."""
    from scipy.optimize import least_squares

    root = np.sqrt(omega)  # diagonal
    kept: dict[bytes, tuple[Array, Array]] = {}

    def evaluate(theta: Array, scale: int) -> tuple[Array, Array]:
        key = theta.tobytes()
        if key not in kept:
            kept.clear()
            slopes = theory.slopes(theta, log.times)
            if slopes is None:
                empty = np.zeros((log.count, len(theta)))
                misses = (np.full(log.count, MISS), empty)
            else:
                misses = log.residuals(slopes, scale)
            kept[key] = misses
        return kept[key]

    best: tuple[float, Array] | None = None
    inside = 1e-6 * (limits[1] - limits[0])  # least squares starts off the limits
    for start in np.clip(starts, limits[0] + inside, limits[1] - inside):
        scale = _scale(theory, log, start)
        kept.clear()

        def residuals(theta: Array, at: int = scale) -> Array:
            return np.concatenate([evaluate(theta, at)[0], root @ (theta - mean)])

        def jacobian(theta: Array, at: int = scale) -> Array:
            return np.concatenate([evaluate(theta, at)[1], root])

        result = least_squares(
            residuals,
            start,
            jac=jacobian,
            bounds=limits,
            x_scale="jac",
            max_nfev=evaluations,
            ftol=1e-6,
            xtol=1e-6,
            gtol=1e-6,
        )
        away = root @ (result.x - mean)
        likelihood = log.log_likelihood(theory.curves(result.x[None], log.times))[0]
        cost = 0.5 * float(away @ away) - float(likelihood)
        if best is None or cost < best[0]:
            best = (cost, result.x)
    if best is None:
        raise FitError(f"no start to fit run {log.run} from")
    return best[1]


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
