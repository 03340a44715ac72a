"""Predictive paths: a theory's curves, with a discrepancy that continues the one seen so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import GRADING, graded_grid
from ..seeds import stream
from .discrepancy import Discrepancy
from .observations import Observations, Record
from .prior import ParameterPrior
from .theories.theory import Theory

Array = NDArray[np.float64]

TIMES = 100  # of a path, up to its horizon
JITTER = 1e-6  # added to correlation matrices so that rounding leaves them positive
TOGETHER = 4000  # trajectories in memory at once, some 25 MB


def path_times(prior: ParameterPrior, horizon: float) -> Array:
    """Sequences since the start at which paths to a horizon are known, shape ``(TIMES,)``."""
    return graded_grid(horizon - prior.origin, GRADING * prior.time_scale, TIMES)[1:]


def predictive_paths(
    theory: Theory,
    thetas: Array,
    grid: Array,
    discrepancy: Discrepancy,
    rng: np.random.Generator,
    *,
    observations: Observations | None = None,
    time_scale: float = 1.0,
) -> Mapping[str, Array]:
    """One path of each evaluator for each draw of θ, ``(draws, times)``; NaN where one failed.

    For each draw λ is drawn given the log, and z given λ and the residuals of the draw's curves:
    near the cut a path continues the measured curve, further on it returns to the theory. The grid,
    ``(times,)``, counts sequences since the start.
    """
    ahead = theory.curves(thetas, grid)
    if observations is None:
        discrepancies = drawn_discrepancies(
            tuple(ahead), len(thetas), grid, discrepancy, rng, time_scale=time_scale
        )
        return {
            name: with_discrepancy(discrepancy, name, y, discrepancies[name])
            for name, y in ahead.items()
        }
    u = discrepancy.log_time(grid, time_scale)
    behind = theory.curves(thetas, observations.times)
    scale = _drawn_scales(observations.log_likelihoods(behind), rng)
    paths = {}
    for evaluator, accuracy in ahead.items():
        record = observations.record(evaluator)
        z = np.empty_like(accuracy)
        for j, size in enumerate(discrepancy.scales):
            members = scale == j
            if not np.any(members):
                continue
            if record is None:
                mean, spread = np.zeros(len(grid)), discrepancy.correlation(u, u)
            else:
                residuals = (record.values - behind[evaluator][members][:, record.at]) / size
                gain, spread = _continuation(u, record, size, discrepancy)
                mean = (residuals / record.deviation) @ gain.T
            normal = rng.standard_normal((int(np.sum(members)), len(grid)))
            z[members] = size * (mean + normal @ _factor(spread).T)
        paths[evaluator] = with_discrepancy(discrepancy, evaluator, accuracy, z)
    return paths


def drawn_discrepancies(
    evaluators: Sequence[str],
    draws: int,
    grid: Array,
    discrepancy: Discrepancy,
    rng: np.random.Generator,
    *,
    time_scale: float = 1.0,
) -> Mapping[str, Array]:
    """λ z of a run not yet begun, by evaluator, shape ``(draws, times)`` each.

    It does not depend on θ, so runs of several settings can share one draw.
    """
    u = discrepancy.log_time(grid, time_scale)
    scale = _drawn_scales(np.tile(np.log(discrepancy.weights), (draws, 1)), rng)
    factor = _factor(discrepancy.correlation(u, u))
    discrepancies = {}
    for evaluator in evaluators:
        z = np.empty((draws, len(grid)))
        for j, size in enumerate(discrepancy.scales):
            members = scale == j
            z[members] = size * (rng.standard_normal((int(np.sum(members)), len(grid))) @ factor.T)
        discrepancies[evaluator] = z
    return discrepancies


def with_discrepancy(discrepancy: Discrepancy, evaluator: str, accuracy: Array, z: Array) -> Array:
    """Accuracies of any shape with the discrepancy λ z, cut off at 0 and 1."""
    return np.clip(accuracy + discrepancy.deviation(evaluator, accuracy) * z, 0.0, 1.0)


def complete(paths: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Which draws have numbers in all curves at all times, shape ``(draws,)``."""
    return np.asarray(np.all([np.all(np.isfinite(y), axis=1) for y in paths.values()], axis=0))


def flip_paths(
    theory: Theory,
    discrepancy: Discrepancy,
    prior: ParameterPrior,
    *,
    horizon: float,
    draws: int,
    seed: int = 0,
) -> Array:
    """Flips of a run not yet begun whose simulations succeeded, ``(draws or fewer, times)``."""
    ((_, flips),) = flip_path_batches(
        theory, discrepancy, [prior], horizon=horizon, draws=draws, seed=seed
    )
    return np.asarray(flips[0][np.isfinite(flips[0][:, -1])])


def flip_path_batches(
    theory: Theory,
    discrepancy: Discrepancy,
    priors: Sequence[ParameterPrior],
    *,
    horizon: float,
    draws: int,
    seed: int = 0,
) -> Iterator[tuple[list[int], Array]]:
    """Flips of many runs not yet begun, at the same random numbers, batch by batch.

    Yields indices of some priors and their flips at the `path_times`, ``(priors, draws, times)``,
    NaN where a simulation failed. Forecasts draw from the seed alone: these flips equal those of
    separate ones, and priors of one origin and time scale share the discrepancy's draws.
    """
    alike: dict[tuple[float, float], list[int]] = {}
    for i, prior in enumerate(priors):
        alike.setdefault((prior.origin, prior.time_scale), []).append(i)
    most = max(1, TOGETHER // draws)
    for indices in alike.values():
        for first in range(0, len(indices), most):
            batch = indices[first : first + most]
            alike_priors = [priors[i] for i in batch]
            yield batch, _flips(theory, discrepancy, alike_priors, horizon, draws, seed)


def _flips(
    theory: Theory,
    discrepancy: Discrepancy,
    priors: Sequence[ParameterPrior],
    horizon: float,
    draws: int,
    seed: int,
) -> Array:
    """The flips of priors of one origin and time scale, ``(priors, draws, times)``."""
    grid = path_times(priors[0], horizon)
    rngs = [stream(seed, "forecast") for _ in priors]
    thetas = [prior.sample(draws, rng) for prior, rng in zip(priors, rngs, strict=True)]
    curves = theory.curves(np.concatenate(thetas), grid)
    z = drawn_discrepancies(
        tuple(curves), draws, grid, discrepancy, rngs[0], time_scale=priors[0].time_scale
    )["flip"]
    flip = curves["flip"].reshape(len(priors), draws, len(grid))
    flip = with_discrepancy(discrepancy, "flip", flip, z)
    flip[~complete(curves).reshape(len(priors), draws)] = np.nan
    return flip


def _drawn_scales(log_weights: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """An index of λ for each draw, in proportion to the weights, shape ``(draws,)``."""
    return np.asarray(np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=1))


def _factor(correlation: Array) -> Array:
    """Cholesky factor of a correlation matrix."""
    return np.asarray(np.linalg.cholesky(correlation + JITTER * np.eye(len(correlation))))


def _continuation(
    u: Array, record: Record, size: float, discrepancy: Discrepancy
) -> tuple[Array, Array]:
    """How z on the grid follows from z seen with noise: gain ``(times, n)``, covariance."""
    noise = np.diag((record.noise / record.deviation / size) ** 2)
    across = discrepancy.correlation(u, record.log_time)
    covariance = discrepancy.correlation(record.log_time, record.log_time) + noise
    gain = np.asarray(np.linalg.solve(covariance, across.T).T, dtype=np.float64)
    spread = discrepancy.correlation(u, u) - gain @ across.T
    return gain, 0.5 * (spread + spread.T)
