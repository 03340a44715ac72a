"""Possible curves of a run: a theory's, with a discrepancy that continues the one seen so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .discrepancy import Discrepancy
from .evidence import Evidence, Record
from .theory import Theory

Array = NDArray[np.float64]

JITTER = 1e-6  # added to correlation matrices so that rounding leaves them positive


def paths(
    theory: Theory,
    thetas: Array,
    grid: Array,
    discrepancy: Discrepancy,
    rng: np.random.Generator,
    *,
    evidence: Evidence | None = None,
    pace: float = 1.0,
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
    evidence
        The log so far; None for a run not yet begun.
    pace
        Time scale of the settings in units of the base's.

    Returns
    -------
    Mapping
        Accuracies by evaluator, shape ``(draws, times)``; NaN where a simulation failed.
    """
    ahead = theory.curves(thetas, grid)
    u = discrepancy.log_time(grid, pace)
    if evidence is None:
        behind: Mapping[str, Array] = {}
        log_weights = np.tile(np.log(discrepancy.weights), (len(thetas), 1))
    else:
        behind = theory.curves(thetas, evidence.times)
        log_weights = evidence.log_likelihoods(behind)
    scale = np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=1)
    found = {}
    for evaluator, accuracy in ahead.items():
        record = None if evidence is None else evidence.record(evaluator)
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
            factor = np.linalg.cholesky(spread + JITTER * np.eye(len(grid)))
            draw = rng.standard_normal((int(np.sum(members)), len(grid))) @ factor.T
            z[members] = size * (mean + draw)
        found[evaluator] = np.clip(
            accuracy + discrepancy.deviation(evaluator, accuracy) * z, 0.0, 1.0
        )
    return found


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
