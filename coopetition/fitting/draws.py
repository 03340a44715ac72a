"""Parameter sets that the data allow, drawn quickly: a differential-evolution Markov chain.

A population of chains starts from the Fisher information's normal density, the box of bounds
keeping undetermined directions finite, resampled towards exp(−χ²/2v). Each chain then moves along
differences between others, which takes up by itself the curved shape that poorly determined
parameters give.

Reference: ter Braak 2006, Stat. Comput. 16:239 (equations 2 and 4).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .problem import Problem
from .result import Fit

Array = NDArray[np.float64]

CHAINS = 128
GENERATIONS = 120
LEAP_EVERY = 10  # generations; then γ = 1, which lets chains change between modes
PROPOSALS = 1024  # of the normal density that the chains start from
KEPT = 0.1  # of the proposals must keep weight in the starting population
JITTER = 1e-4  # of the box


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Parameter sets that the data allow.

    Parameters
    ----------
    thetas
        The optimiser's numbers, shape ``(draws, k)``.
    acceptance
        Share of moves accepted in the second half.
    settled
        Mean log-likelihood of the last quarter of generations less that of the quarter before, in
        standard deviations over the last generation's chains: near 0 once the chains have settled.
    """

    thetas: Array
    acceptance: float
    settled: float


def approximate_draws(
    fit: Fit, count: int, rng: np.random.Generator, *, generations: int = GENERATIONS
) -> Draws:
    """Draw parameter sets from the likelihood within the box of bounds.

    Parameters
    ----------
    fit
        A fit.
    count
        How many to draw, from the second half of the chains.
    rng
        Source of randomness.
    generations
        Moves of every chain.
    """
    problem = fit.problem
    k = len(problem.free)
    thetas, logs = _starting(problem, fit, rng)
    width = problem.upper - problem.lower
    kept: list[Array] = []
    means, moved = [], 0.0
    for generation in range(generations):
        gamma = 1.0 if generation % LEAP_EVERY == LEAP_EVERY - 1 else 2.38 / np.sqrt(2 * k)
        order = rng.permutation(CHAINS)
        # one half moves along differences of the other, which keeps detailed balance
        for movers, others in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            pairs = np.array([rng.choice(others, 2, replace=False) for _ in movers])
            step = gamma * (thetas[pairs[:, 0]] - thetas[pairs[:, 1]])
            step += JITTER * width * rng.standard_normal(step.shape)
            proposed = _reflected(thetas[movers] + step, problem.lower, problem.upper)
            log_proposed = _log_likelihood(problem, fit, proposed)
            accepted = np.log(rng.random(len(movers))) < log_proposed - logs[movers]
            thetas[movers[accepted]] = proposed[accepted]
            logs[movers[accepted]] = log_proposed[accepted]
            moved += float(np.sum(accepted)) * (generation >= generations // 2)
        means.append(float(np.mean(logs)))
        if generation >= generations // 2:
            kept.append(thetas.copy())
    pool = np.concatenate(kept)
    quarter = max(1, generations // 4)
    drift = np.mean(means[-quarter:]) - np.mean(means[-2 * quarter : -quarter])
    return Draws(
        thetas=pool[rng.choice(len(pool), count, replace=len(pool) < count)],
        acceptance=moved / (CHAINS * max(1, generations - generations // 2)),
        settled=float(drift / max(float(np.std(logs)), 1e-12)),
    )


def _log_likelihood(problem: Problem, fit: Fit, thetas: Array) -> Array:
    return np.asarray(-0.5 * problem.costs(thetas, coarse=True) / fit.variance)


def _starting(problem: Problem, fit: Fit, rng: np.random.Generator) -> tuple[Array, Array]:
    """The chains' first population and its log-likelihoods."""
    width = problem.upper - problem.lower
    jacobian = problem.evaluate(fit.theta).jacobian
    # the box as a normal density of the same variance keeps undetermined directions finite
    precision = jacobian.T @ jacobian / fit.variance + np.diag(12.0 / width**2)
    root = np.linalg.cholesky(np.linalg.inv(precision))
    normal = rng.standard_normal((PROPOSALS, len(width)))
    thetas = _reflected(fit.theta + normal @ root.T, problem.lower, problem.upper)
    logs = _log_likelihood(problem, fit, thetas)
    proposal = -0.5 * np.sum(normal**2, axis=1)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        weights = _weights(middle * (logs - proposal))
        enough = 1.0 / np.sum(weights**2) >= KEPT * PROPOSALS
        low, high = (middle, high) if enough else (low, middle)
    chosen = rng.choice(PROPOSALS, CHAINS, p=_weights(low * (logs - proposal)))
    return thetas[chosen], logs[chosen]


def _weights(logarithms: Array) -> Array:
    weights = np.exp(logarithms - logarithms.max())
    return np.asarray(weights / weights.sum())


def _reflected(thetas: Array, lower: Array, upper: Array) -> Array:
    """Points beyond a bound mirrored at it, so that mass near bounds is kept."""
    width = upper - lower
    phase = np.mod(thetas - lower, 2 * width)
    return np.asarray(lower + np.where(phase > width, 2 * width - phase, phase))
