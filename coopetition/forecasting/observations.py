"""What a log says about a run so far, in the form that likelihoods are computed from."""

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
FLOOR = 0.003  # error left of any point: digitising, rounding
AVERAGED = 5  # points of a block beyond this many add nothing: they share their sequences
FAILED = -1e6  # log-likelihood of a simulation that failed


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One evaluator's accuracy, averaged in blocks.

    Parameters
    ----------
    evaluator
        Its name.
    curve
        The points that were averaged, in the log's own count of sequences.
    at
        Positions of its points among the observations' times, shape ``(n,)``.
    sequences
        Sequences since the start, shape ``(n,)``.
    values
        Measured accuracies, shape ``(n,)``.
    deviation, noise
        Standard deviations of the discrepancy at λ = 1 and of the points' own errors, ``(n,)``.
    log_time
        u of the points, shape ``(n,)``.
    whiteners
        Inverse Cholesky factors of the covariance at each λ, shape ``(scales, n, n)``.
    log_determinants
        log |C| at each λ, shape ``(scales,)``.
    """

    evaluator: str
    curve: Curve
    at: NDArray[np.intp]
    sequences: Array
    values: Array
    deviation: Array
    noise: Array
    log_time: Array
    whiteners: Array
    log_determinants: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """A run's log up to a cut.

    Parameters
    ----------
    run
        The run's name.
    until
        The cut, in the log's own count of sequences.
    origin
        The log's count at which training began (not 0 for a run with a head start).
    time_scale
        Time scale of the run's settings in units of the base's.
    times
        Sequences since the start at which a theory has to be evaluated, 0 first, ``(times,)``.
    records
        One for each evaluator with an accuracy.
    discrepancy
        The random function between theory and log.
    notes
        What was left out, a sentence each.
    """

    run: str
    until: float
    origin: float
    time_scale: float
    times: Array
    records: tuple[Record, ...]
    discrepancy: Discrepancy
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(len(record.values) for record in self.records)

    def record(self, evaluator: str) -> Record | None:
        """One evaluator's record; None where it has none."""
        return next((r for r in self.records if r.evaluator == evaluator), None)

    def log_likelihoods(self, curves: Mapping[str, Array]) -> Array:
        """Logarithm of p(data, λ | curves) up to a constant, shape ``(batch, scales)``.

        Parameters
        ----------
        curves
            Predicted accuracies by evaluator at the observations' times, shape ``(batch, times)``.
        """
        batch = len(next(iter(curves.values())))
        total = np.tile(np.log(self.discrepancy.weights), (batch, 1))
        for record in self.records:
            miss = curves[record.evaluator][:, record.at] - record.values
            for j, whitener in enumerate(record.whiteners):
                white = miss @ whitener.T
                total[:, j] -= 0.5 * np.sum(white**2, axis=1)
            total -= 0.5 * record.log_determinants
        return np.where(np.isfinite(total), total, FAILED)

    def log_likelihood(self, curves: Mapping[str, Array]) -> Array:
        """Logarithm of p(data | curves) with λ averaged over, shape ``(batch,)``."""
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
    """The observations in a log up to a cut.

    Curves are averaged in ``points`` blocks, short at first and longer later (as
    `coopetition.arrays` has it), so that the first wave of a long log is not averaged away; losses
    and metrics other than the accuracy among the labels in context are left out.

    Parameters
    ----------
    curves
        The log.
    discrepancy
        The random function between theory and log.
    until
        The cut, in the log's count of sequences.
    origin
        The log's count at which training began.
    time_scale
        Time scale of the run's settings in units of the base's.
    points
        Most values kept of a curve.

    Raises
    ------
    LogError
        If nothing usable lies before the cut.
    """
    notes: list[str] = []
    seen: dict[str, Curve] = {}
    for evaluator in SIGNS:
        curve = curves.curves.get((evaluator, ACCURACY))
        if curve is None:
            continue
        inside = (curve.sequences >= origin) & (curve.sequences <= until * (1 + 1e-9))
        inside &= np.isfinite(curve.values)
        if int(np.sum(inside)) < MIN_POINTS:
            notes.append(f"{evaluator} has fewer than {MIN_POINTS} points before {until:,.0f}")
            continue
        seen[evaluator] = curve.take(inside)
    if not seen:
        have = ", ".join("/".join(key) for key in curves.curves) or "no curve"
        raise LogError(
            f"run {curves.run} has {have}: a forecast needs {MIN_POINTS} points of an accuracy of "
            f"{', '.join(SIGNS)} (metric {ACCURACY}) before {until:,.0f} sequences; log more "
            "often, or forecast from the settings alone (until=0)"
        )
    blocks = {
        evaluator: _averaged(curve, origin, until, time_scale, points, discrepancy)
        for evaluator, curve in seen.items()
    }
    times = np.unique(np.concatenate([[0.0], *(x for x, _, _ in blocks.values())]))
    return Observations(
        run=curves.run,
        until=float(until),
        origin=float(origin),
        time_scale=float(time_scale),
        times=times,
        records=tuple(
            _record(evaluator, seen[evaluator], times, *block, discrepancy, time_scale)
            for evaluator, block in blocks.items()
        ),
        discrepancy=discrepancy,
        notes=tuple(notes),
    )


def _averaged(
    curve: Curve,
    origin: float,
    until: float,
    time_scale: float,
    points: int,
    discrepancy: Discrepancy,
) -> tuple[Array, Array, Array]:
    """Sequences since the start, values and errors of the blocks that hold points."""
    since = curve.sequences - origin
    edges = graded_grid(
        (until - origin) * (1 + 1e-9), GRADING * time_scale, min(points, len(curve))
    )
    block = np.clip(np.searchsorted(edges, since, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(block)
    used = count > 0
    count = count[used]
    x = np.bincount(block, since)[used] / count
    y = np.bincount(block, curve.values)[used] / count
    known = curve.sem is not None and bool(np.all(np.isfinite(curve.sem)))
    error = (
        curve.sem if curve.sem is not None and known else discrepancy.noise * np.ones(len(curve))
    )
    variance = np.bincount(block, error**2)[used] / count
    return x, y, np.sqrt(variance / np.minimum(count, AVERAGED) + FLOOR**2)


def _record(
    evaluator: str,
    curve: Curve,
    times: Array,
    x: Array,
    y: Array,
    noise: Array,
    discrepancy: Discrepancy,
    time_scale: float,
) -> Record:
    level = np.convolve(np.pad(y, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    deviation = discrepancy.deviation(evaluator, level)
    u = discrepancy.log_time(x, time_scale)
    smooth = discrepancy.correlation(u, u) * np.outer(deviation, deviation)
    whiteners, determinants = [], []
    for scale in discrepancy.scales:
        factor = np.linalg.cholesky(scale**2 * smooth + np.diag(noise**2))
        whiteners.append(np.linalg.inv(factor))
        determinants.append(2.0 * np.sum(np.log(np.diag(factor))))
    return Record(
        evaluator=evaluator,
        curve=curve,
        at=np.searchsorted(times, x),
        sequences=x,
        values=y,
        deviation=deviation,
        noise=noise,
        log_time=u,
        whiteners=np.array(whiteners),
        log_determinants=np.array(determinants),
    )
