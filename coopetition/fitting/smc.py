"""Sequential Monte Carlo: a population of parameter sets led from a known density to a posterior.

Early in training a posterior has several modes (ICL emerges, or never does), and a chain started in
one stays there. Here a population drawn from the known density is weighted by the likelihood to a
power that rises from 0 to 1, in steps small enough to keep most of it effective. After each step it
is resampled and moved by Metropolis steps, in turn along differences of its members and to draws
from a Student distribution with its mean and covariance. Without these independent moves a few
first draws' descendants fill the population, and two seeds disagree by more than the posterior's
width.

References: Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68:411; ter Braak 2006, Stat. Comput.
16:239 (moves by differences).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FIRST = 3  # times as many draws before the first step, where most of the prior is ruled out
EFFECTIVE = 0.75  # share of the population that must stay effective in a step
MOST_STEPS = 80
SWAP = 0.15  # share of difference moves of full length, which lead from mode to mode
TAILS = 5.0  # degrees of freedom of the independent moves
WIDER = 1.1  # their covariance over the population's


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Draws from a posterior, and the number of simulations they took."""

    thetas: Array  # (draws, k)
    log_likelihood: Array  # (draws,)
    evaluations: int


def sequential_monte_carlo(
    first: Array,
    log_density: Callable[[Array], Array],
    log_likelihood: Callable[[Array], Array],
    rng: np.random.Generator,
    *,
    draws: int,
    moves: int,
) -> Population:
    """Draws from density × likelihood, from ``(FIRST · draws, k)`` draws from the density."""
    thetas = first
    likelihood, density = log_likelihood(thetas), log_density(thetas)
    evaluations, steps, power = len(thetas), 0, 0.0
    while power < 1.0 and steps < MOST_STEPS:
        rise = _rise(likelihood, 1.0 - power, EFFECTIVE * draws)
        power = 1.0 if steps == MOST_STEPS - 1 else power + rise
        rows = systematic_resample(_weights(rise * likelihood), draws, rng.random())
        thetas, likelihood, density = thetas[rows], likelihood[rows], density[rows]
        for move in range(moves if power < 1.0 else 2 * moves):
            if move % 2:
                proposed, correction = _independent(thetas, rng)
            else:
                proposed, correction = thetas + _difference(thetas, rng), np.zeros(draws)
            new_likelihood, new_density = log_likelihood(proposed), log_density(proposed)
            gain = power * (new_likelihood - likelihood) + new_density - density + correction
            take = np.log(rng.random(draws)) < gain
            thetas[take], likelihood[take] = proposed[take], new_likelihood[take]
            density[take] = new_density[take]
            evaluations += draws
        steps += 1
    return Population(thetas=thetas, log_likelihood=likelihood, evaluations=evaluations)


def _weights(logs: Array) -> Array:
    """Exponentials of logarithms, summing to 1."""
    weights = np.exp(logs - np.max(logs))
    return np.asarray(weights / np.sum(weights))


def _rise(likelihood: Array, left: float, effective: float) -> float:
    """The largest rise of the power that leaves enough draws effective, by bisection."""

    def enough(rise: float) -> bool:
        return float(1.0 / np.sum(_weights(rise * likelihood) ** 2)) >= effective

    if enough(left):
        return left
    low, high = 0.0, left
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return high


def systematic_resample(weights: Array, draws: int, offset: float = 0.5) -> NDArray[np.intp]:
    """Indices in order, ``(draws,)``, each in proportion to its weight; offset in [0, 1)."""
    marks = (offset + np.arange(draws)) / draws
    ends = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(ends, marks), len(weights) - 1)


def _factor(thetas: Array) -> Array:
    """Cholesky factor of the population's covariance."""
    k = thetas.shape[1]
    return np.asarray(np.linalg.cholesky(np.cov(thetas.T) + 1e-8 * np.eye(k)))


def _difference(thetas: Array, rng: np.random.Generator) -> Array:
    """Symmetric steps along differences of two members, shape ``(draws, k)``."""
    draws, k = thetas.shape
    first, second = rng.integers(0, draws, draws), rng.integers(0, draws, draws)
    length = 2.38 / np.sqrt(2 * k) * rng.choice([1.0, 0.5], draws)
    length = np.where(rng.random(draws) < SWAP, 1.0, length)
    blur = rng.standard_normal((draws, k)) @ _factor(thetas).T
    return np.asarray(length[:, None] * (thetas[first] - thetas[second]) + 1e-3 * blur)


def _independent(thetas: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Student draws with the population's mean and covariance, and log q(old)/q(new)."""
    draws, k = thetas.shape
    mean, factor = np.mean(thetas, axis=0), np.sqrt(WIDER) * _factor(thetas)
    tails = np.sqrt(rng.chisquare(TAILS, draws) / TAILS)
    proposed = mean + (rng.standard_normal((draws, k)) / tails[:, None]) @ factor.T

    def log_density(points: Array) -> Array:
        white = np.linalg.solve(factor, (points - mean).T)
        return np.asarray(-0.5 * (TAILS + k) * np.log1p(np.sum(white**2, axis=0) / TAILS))

    return proposed, log_density(thetas) - log_density(proposed)
