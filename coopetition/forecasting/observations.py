"""A log so far, in the form that likelihoods are computed from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..arrays import GRADING, graded_grid
from ..curves.curve import Curve, Curves
from ..dynamics.readout import ACCURACY, SIGNS
from ..errors import LogError
from .discrepancy import Discrepancy

Array = NDArray[np.float64]

MIN_POINTS = 2  # of a curve within the log: one point shows no change
FLOOR = 0.003  # least error of a point, from digitising and rounding
AVERAGED = 5  # more points in a block add nothing: they are measured on the same sequences
FAILED = -1e6  # log-likelihood of a simulation that failed


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One evaluator's accuracy, averaged in n blocks."""

    evaluator: str
    curve: Curve  # the points that were averaged, in the log's own count of sequences
    at: NDArray[np.intp]  # positions among `Observations.times`, (n,)
    sequences: Array  # since the start, (n,)
    values: Array  # measured accuracies, (n,)
    deviation: Array  # standard deviation of the discrepancy at λ = 1, (n,)
    noise: Array  # standard deviation of the points' own errors, (n,)
    log_time: Array  # u of the points, (n,)
    whiteners: Array  # inverse Cholesky factors of the covariance C at each λ, (scales, n, n)
    log_determinants: Array  # log |C| at each λ, (scales,)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """A run's log up to a cut."""

    run: str
    until: float  # the cut, in the log's own count of sequences
    origin: float  # the log's count at which training began, not 0 after a head start
    time_scale: float  # of the run's settings, in units of the base's
    times: Array  # sequences since the start at which a theory is evaluated, 0 first, (times,)
    records: tuple[Record, ...]  # one for each evaluator with an accuracy
    discrepancy: Discrepancy
    notes: tuple[str, ...]  # what was left out, a sentence each

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(len(record.values) for record in self.records)

    def record(self, evaluator: str) -> Record | None:
        """One evaluator's record; None where it has none."""
        return next((r for r in self.records if r.evaluator == evaluator), None)

    def log_likelihoods(self, curves: Mapping[str, Array]) -> Array:
        """Log p(log, λ | curves) up to a constant, ``(batch, scales)``; curves (batch, times)."""
        batch = len(next(iter(curves.values())))
        total = np.tile(np.log(self.discrepancy.weights), (batch, 1))
        for record in self.records:
            residuals = curves[record.evaluator][:, record.at] - record.values
            for j, whitener in enumerate(record.whiteners):
                total[:, j] -= 0.5 * np.sum((residuals @ whitener.T) ** 2, axis=1)
            total -= 0.5 * record.log_determinants
        return np.where(np.isfinite(total), total, FAILED)

    def log_likelihood(self, curves: Mapping[str, Array]) -> Array:
        """Log p(log | curves), averaged over λ, shape ``(batch,)``."""
        return np.asarray(np.logaddexp.reduce(self.log_likelihoods(curves), axis=1))

    def residuals(
        self, slopes: Mapping[str, tuple[Array, Array]], scale: int
    ) -> tuple[Array, Array]:
        """Whitened residuals ``(n,)`` and their derivatives ``(n, k)`` at one λ."""
        rows, columns = [], []
        for record in self.records:
            value, slope = slopes[record.evaluator]
            whitener = record.whiteners[scale]
            rows.append(whitener @ (value[record.at] - record.values))
            columns.append(whitener @ slope[record.at])
        return np.concatenate(rows), np.concatenate(columns)


def observations(
    curves: Curves,
    discrepancy: Discrepancy,
    *,
    until: float,
    origin: float = 0.0,
    time_scale: float = 1.0,
    points: int = 40,
) -> Observations:
    """The in-context accuracies of a log up to a cut; a `LogError` if there are none.

    Each curve is averaged in ``points`` blocks on a `coopetition.arrays.graded_grid`, short at
    first and longer later, so that the first wave of a long log is not averaged away.
    """
    notes: list[str] = []
    usable: dict[str, Curve] = {}
    for evaluator in SIGNS:
        curve = curves.curves.get((evaluator, ACCURACY))
        if curve is None:
            continue
        inside = (curve.sequences >= origin) & (curve.sequences <= until * (1 + 1e-9))
        inside &= np.isfinite(curve.values)
        if int(np.sum(inside)) < MIN_POINTS:
            notes.append(f"{evaluator} has fewer than {MIN_POINTS} points before {until:,.0f}")
            continue
        usable[evaluator] = curve.take(inside)
    if not usable:
        have = ", ".join("/".join(key) for key in curves.curves) or "no curve"
        raise LogError(
            f"run {curves.run} has {have}: a forecast needs {MIN_POINTS} points of an accuracy of "
            f"{', '.join(SIGNS)} (metric {ACCURACY}) before {until:,.0f} sequences; log more "
            "often, or forecast from the settings alone (until=0)"
        )
    blocks = {}
    for evaluator, curve in usable.items():
        edges = graded_grid(
            (until - origin) * (1 + 1e-9), GRADING * time_scale, min(points, len(curve))
        )
        blocks[evaluator] = _block_means(curve, curve.sequences - origin, edges, discrepancy.noise)
    times = np.unique(np.concatenate([[0.0], *(x for x, _, _ in blocks.values())]))
    return Observations(
        run=curves.run,
        until=float(until),
        origin=float(origin),
        time_scale=float(time_scale),
        times=times,
        records=tuple(
            _record(usable[evaluator], times, *block, discrepancy, time_scale)
            for evaluator, block in blocks.items()
        ),
        discrepancy=discrepancy,
        notes=tuple(notes),
    )


def _block_means(
    curve: Curve, since: Array, edges: Array, noise: float
) -> tuple[Array, Array, Array]:
    """Sequences since the start, values and errors of the blocks that hold points."""
    block = np.clip(np.searchsorted(edges, since, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(block)
    used = count > 0
    count = count[used]
    x = np.bincount(block, since)[used] / count
    y = np.bincount(block, curve.values)[used] / count
    has_errors = curve.sem is not None and bool(np.all(np.isfinite(curve.sem)))
    error = curve.sem if curve.sem is not None and has_errors else noise * np.ones(len(curve))
    variance = np.bincount(block, error**2)[used] / count
    return x, y, np.sqrt(variance / np.minimum(count, AVERAGED) + FLOOR**2)


def _record(
    curve: Curve,
    times: Array,
    x: Array,
    y: Array,
    noise: Array,
    discrepancy: Discrepancy,
    time_scale: float,
) -> Record:
    """The record of block means, with the factors of its covariance."""
    level = np.convolve(np.pad(y, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    deviation = discrepancy.deviation(curve.evaluator, level)
    u = discrepancy.log_time(x, time_scale)
    smooth = discrepancy.correlation(u, u) * np.outer(deviation, deviation)
    factors = [
        np.linalg.cholesky(scale**2 * smooth + np.diag(noise**2)) for scale in discrepancy.scales
    ]
    return Record(
        evaluator=curve.evaluator,
        curve=curve,
        at=np.searchsorted(times, x),
        sequences=x,
        values=y,
        deviation=deviation,
        noise=noise,
        log_time=u,
        whiteners=np.array([np.linalg.inv(factor) for factor in factors]),
        log_determinants=np.array([2.0 * np.sum(np.log(np.diag(factor))) for factor in factors]),
    )
