"""Possible curves of a run: a theory's, with a discrepancy that continues the one seen so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .discrepancy import Discrepancy
from .observations import Observations, Record
from .theories.theory import Theory

Array = NDArray[np.float64]

JITTER = 1e-6  # added to correlation matrices so that rounding leaves them positive


def paths(
    theory: Theory,
    thetas: Array,
    grid: Array,
    discrepancy: Discrepancy,
    rng: np.random.Generator,
    *,
    observations: Observations | None = None,
    time_scale: float = 1.0,
) -> Mapping[str, Array]:
    """One possible future for each draw of θ.

    For each draw λ is drawn given the log, and z given λ and what the draw's curves miss of the
    log: near the cut a path continues the measured curve, further on it returns to the theory.

    Parameters
    ----------
    theory
        What turns θ into curves.
    thetas
        Draws, shape ``(draws, k)``.
    grid
        Sequences since the start, increasing, shape ``(times,)``.
    discrepancy
        The random function between theory and curves.
    rng
        Randomness.
    observations
        The log so far; None for a run not yet begun.
    time_scale
        Time scale of the settings in units of the base's.

    Returns
    -------
    Mapping
        Accuracies by evaluator, shape ``(draws, times)``; NaN where a simulation failed.
    """
    ahead = theory.curves(thetas, grid)
    if observations is None:
        missed = unseen(tuple(ahead), len(thetas), grid, discrepancy, rng, time_scale=time_scale)
        return {
            name: with_discrepancy(discrepancy, name, y, missed[name]) for name, y in ahead.items()
        }
    u = discrepancy.log_time(grid, time_scale)
    behind = theory.curves(thetas, observations.times)
    scale = _drawn_scales(observations.log_likelihoods(behind), rng)
    found = {}
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
                miss = (record.values - behind[evaluator][members][:, record.at]) / size
                gain, spread = _continued(u, record, size, discrepancy)
                mean = (miss / record.deviation) @ gain.T
            draw = rng.standard_normal((int(np.sum(members)), len(grid))) @ _factor(spread).T
            z[members] = size * (mean + draw)
        found[evaluator] = with_discrepancy(discrepancy, evaluator, accuracy, z)
    return found


def unseen(
    evaluators: Sequence[str],
    draws: int,
    grid: Array,
    discrepancy: Discrepancy,
    rng: np.random.Generator,
    *,
    time_scale: float = 1.0,
) -> Mapping[str, Array]:
    """λ z of a run not yet begun, by evaluator, shape ``(draws, times)`` each.

    It depends on the grid and the time_scale, not on θ: runs of several settings can share one
    draw, and are then compared at the same random numbers. Arguments as in `paths`.
    """
    u = discrepancy.log_time(grid, time_scale)
    scale = _drawn_scales(np.tile(np.log(discrepancy.weights), (draws, 1)), rng)
    factor = _factor(discrepancy.correlation(u, u))
    found = {}
    for evaluator in evaluators:
        z = np.empty((draws, len(grid)))
        for j, size in enumerate(discrepancy.scales):
            members = scale == j
            z[members] = size * (rng.standard_normal((int(np.sum(members)), len(grid))) @ factor.T)
        found[evaluator] = z
    return found


def with_discrepancy(discrepancy: Discrepancy, evaluator: str, accuracy: Array, z: Array) -> Array:
    """Accuracies of any shape with the discrepancy λ z, cut off at 0 and 1."""
    return np.clip(accuracy + discrepancy.deviation(evaluator, accuracy) * z, 0.0, 1.0)


def _drawn_scales(log_weights: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """An index of λ for each draw, in proportion to the weights, shape ``(draws,)``."""
    return np.asarray(np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=1))


def _factor(correlation: Array) -> Array:
    return np.asarray(np.linalg.cholesky(correlation + JITTER * np.eye(len(correlation))))


def _continued(
    u: Array, record: Record, size: float, discrepancy: Discrepancy
) -> tuple[Array, Array]:
    """How z on the grid follows from z seen with noise: gain ``(times, n)``, covariance."""
    noise = np.diag((record.noise / record.deviation / size) ** 2)
    across = discrepancy.correlation(u, record.log_time)
    seen = discrepancy.correlation(record.log_time, record.log_time) + noise
    gain = np.asarray(np.linalg.solve(seen, across.T).T, dtype=np.float64)
    spread = discrepancy.correlation(u, u) - gain @ across.T
    return gain, 0.5 * (spread + spread.T)
