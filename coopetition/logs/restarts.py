"""A run's rows in the order of training: restarts, late rows, strays, and tables of several runs.

Restarts are found once for the whole table, from the order of its rows. Where sequences fall, the
rows after the fall replace the earlier ones from there on only if they disagree with them. Late
rows are put in their place, a few that disagree are left out, and a table that seems to hold
several runs is refused with the column that tells them apart.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import ACCURACIES, PROBABILITIES
from ..errors import LogError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

UNKNOWN_ERROR = 0.05  # by which accuracies without a standard error may differ and still agree
WITHIN = 4.0  # standard errors of a difference
DISAGREEING = 0.25  # share of a curve's compared points beyond their errors
UNORDERED = 1 / 3  # share of falls from which rows stand in no order
LATE = 3.0  # typical steps in a gap behind which rows are no longer late
BEGINNING = 0.1  # share of the range within which runs begin together
LARGEST_FRACTION = 1.5  # an accuracy above this is a per cent


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RawCurve:
    """A curve as a log has it; arrays of shape ``(rows,)``, ``rows`` its rows in the table."""

    evaluator: str
    metric: str
    sequences: Array
    values: Array
    sem: Array | None = None
    n: Array | None = None
    rows: Rows

    @property
    def name(self) -> str:
        """Evaluator and metric in one word."""
        return f"{self.evaluator}/{self.metric}"

    def take(self, chosen: NDArray[Any]) -> RawCurve:
        """The points that a mask or indices select."""
        arrays: dict[str, Any] = {
            name: None if (array := getattr(self, name)) is None else array[chosen]
            for name in ("sequences", "values", "sem", "n", "rows")
        }
        return dataclasses.replace(self, **arrays)

    def tolerance(self) -> Array:
        """How far each point may lie from the truth: `WITHIN` standard errors, where known."""
        if self.metric in ACCURACIES + PROBABILITIES:
            unknown = UNKNOWN_ERROR * (100 if np.max(self.values) > LARGEST_FRACTION else 1)
        else:
            unknown = UNKNOWN_ERROR * float(np.ptp(self.values))
        floor = np.full(len(self.values), unknown / np.sqrt(2) + 1e-12)
        if self.sem is None:
            return floor
        return np.where(np.isfinite(self.sem), WITHIN * self.sem + 1e-12, floor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RawRun:
    """A run's raw curves, the reader's notes, and the columns that were not read."""

    name: str
    curves: tuple[RawCurve, ...]
    notes: tuple[str, ...] = ()
    unread: pd.DataFrame | None = None  # with all rows of the table


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The rows of a run: sequences ``(rows,)``, values and tolerances ``(rows, curves)``."""

    sequences: Array
    values: Array
    tolerances: Array
    point: Rows  # (rows, curves): the place of each value in its curve, -1 where there is none

    def contradicts(self, one: int, other: int) -> bool:
        """Whether two rows hold values of one curve that cannot both be right."""
        gap = np.abs(self.values[one] - self.values[other])
        return bool(np.any(gap > np.hypot(self.tolerances[one], self.tolerances[other])))

    def disagree(self, block: Rows, reference: Rows) -> bool:
        """Whether rows differ from the curves through the reference rows, by rising sequences."""
        for curve in range(self.values.shape[1]):
            nodes = reference[np.isfinite(self.values[reference, curve])]
            points = block[np.isfinite(self.values[block, curve])]
            if not len(nodes):
                continue
            x, y = self.sequences[nodes], self.values[nodes, curve]
            at = self.sequences[points]
            covered = (at >= x[0]) & (at <= x[-1])
            points, at = points[covered], at[covered]
            if not len(points):
                continue
            right = np.clip(np.searchsorted(x, at), 0, len(x) - 1)
            left = np.where(x[right] > at, right - 1, right)
            gap = np.abs(self.values[points, curve] - np.interp(at, x, y))
            allowed = np.hypot(self.tolerances[points, curve], self.tolerances[nodes[right], curve])
            if np.mean(gap > allowed + np.abs(y[right] - y[left])) > DISAGREEING:
                return True
        return False


def in_order(run: RawRun) -> tuple[tuple[RawCurve, ...], list[str]]:
    """The curves by rising sequences, without the rows that restarts replaced, and notes on them.

    Points at one sequence count stay beside each other.
    """
    curves = [curve for curve in run.curves if len(curve.values)]
    if all(np.all(np.diff(curve.sequences) > 0) for curve in curves):
        return run.curves, []
    table, rows = _as_table(curves)
    falls = _falls(table)
    if not len(falls):
        return run.curves, []
    _refuse_several_runs(run, table, rows)
    order, notes = _order(table, falls, run)
    ordered = []
    for index, curve in enumerate(curves):
        points = table.point[order, index]
        ordered.append(curve.take(points[points >= 0]))
    empty = [curve for curve in run.curves if not len(curve.values)]
    return (*ordered, *empty), notes


def telling_column(run: RawRun, rows: Rows, sequences: Array) -> str | None:
    """The unread column that splits rows into runs that begin together, each in order."""
    if run.unread is None:
        return None
    span = float(np.ptp(sequences))
    for column in run.unread.columns:
        groups = _groups(run.unread[column], rows)
        if not 2 <= len(groups) <= len(rows) / 2:
            continue
        ordered = all(np.all(np.diff(sequences[group]) >= 0) for group in groups)
        starts = [sequences[group[0]] for group in groups]
        if ordered and np.ptp(starts) <= BEGINNING * span:
            return str(column)
    return None


def _groups(column: pd.Series, rows: Rows) -> list[Rows]:
    """The places among some rows of each distinct entry of a column."""
    labels = np.array([str(value) for value in column.to_numpy()[rows]])
    return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels)]


def several_runs(run: RawRun, why: str, column: str | None) -> LogError:
    """The error for a table that seems to hold more than one run."""
    tells = f"{column} tells them apart: " if column else "name the column that tells them apart: "
    return LogError(
        f"run {run.name}: {why}, so more than one run seems to be in the table; {tells}"
        f"--columns run={column or 'seed'}"
    )


def _refuse_several_runs(run: RawRun, table: _Table, rows: Rows) -> None:
    column = telling_column(run, rows, table.sequences)
    if column is None or run.unread is None:
        return
    first, *others = _groups(run.unread[column], rows)
    if any(table.disagree(other, first) for other in others):
        raise several_runs(run, "rows begin anew with other values", column)


def _as_table(curves: Sequence[RawCurve]) -> tuple[_Table, Rows]:
    """The curves' points as rows in the order in which they were written, and their table rows."""
    lengths = [len(curve.values) for curve in curves]
    owner = np.repeat(np.arange(len(curves)), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    sequences = np.concatenate([curve.sequences for curve in curves])
    rows = np.concatenate([curve.rows for curve in curves])
    order = np.lexsort((owner, rows))
    changes = np.sum(np.diff(owner[order]) != 0)
    if len(curves) > 1 and changes < len(order) / 4 and len(np.unique(rows)) == len(rows):
        # one curve below the other: an evaluation's rows share generation and sequence count
        generation = np.concatenate(
            [np.cumsum(np.diff(curve.sequences, prepend=-np.inf) < 0) for curve in curves]
        )
        again = np.concatenate([_occurrences(curve.sequences) for curve in curves])
        keys = np.stack([generation, sequences, again * (generation == 0)], axis=1)
        together = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.lexsort((owner, together))
    else:
        together = _written_together(sequences, owner, rows, order)
    count = int(together.max()) + 1
    point = np.full((count, len(curves)), -1)
    point[together[order], owner[order]] = place[order]
    values = np.full((count, len(curves)), np.nan)
    tolerances = np.full((count, len(curves)), np.nan)
    for index, curve in enumerate(curves):
        present = point[:, index] >= 0
        values[present, index] = curve.values[point[present, index]]
        tolerances[present, index] = curve.tolerance()[point[present, index]]
    of_row, table_row = np.empty(count), np.empty(count, dtype=np.intp)
    of_row[together], table_row[together] = sequences, rows
    table = _Table(sequences=of_row, values=values, tolerances=tolerances, point=point)
    return table, table_row


def _written_together(
    sequences: Array, owner: NDArray[np.intp], rows: Rows, order: Rows
) -> NDArray[np.intp]:
    """Each point's evaluation: successive rows with one sequence count, none with a curve twice."""
    together = np.empty(len(order), dtype=np.intp)
    evaluation, owners = -1, set[int]()
    row, at = -1, np.nan
    for index in order.tolist():
        new_row = rows[index] != row
        if new_row and (sequences[index] != at or int(owner[index]) in owners):
            evaluation, owners = evaluation + 1, set()
        owners.add(int(owner[index]))
        row, at = rows[index], sequences[index]
        together[index] = evaluation
    return together


def _occurrences(sequences: Array) -> NDArray[np.intp]:
    """How often each sequence count came before in an array."""
    totals = collections.Counter[float]()
    earlier = []
    for value in sequences.tolist():
        earlier.append(totals[value])
        totals[value] += 1
    return np.array(earlier, dtype=np.intp)


def _falls(table: _Table) -> Rows:
    """Rows at which sequences fall, or stand still with values that contradict those before."""
    steps = np.diff(table.sequences)
    repeats = [i for i in np.flatnonzero(steps == 0).tolist() if table.contradicts(i, i + 1)]
    return np.union1d(np.flatnonzero(steps < 0), np.array(repeats, dtype=np.intp)) + 1


def _order(table: _Table, falls: Rows, run: RawRun) -> tuple[Rows, list[str]]:
    """Indices of the rows to keep, by rising sequences."""
    sequences = table.sequences
    rows = np.arange(len(sequences))
    if len(sequences) > 2 and len(falls) == len(sequences) - 1:
        return rows[::-1], ["the rows came newest first and were reversed"]
    if len(falls) > max(2, UNORDERED * (len(sequences) - 1)):
        return np.argsort(sequences, kind="stable"), [
            "the rows came in no order and were sorted by sequences"
        ]
    order, *segments = np.split(rows, falls)
    restarts: list[float] = []
    dropped: list[float] = []
    late = stray = 0
    for segment in segments:
        for block in _blocks(segment, sequences, float(sequences[order].max())):
            if not table.disagree(block, order):
                late += int(np.sum(sequences[block] < sequences[order].max()))
                merged = np.concatenate([order, block])
                order = merged[np.argsort(sequences[merged], kind="stable")]
                continue
            begin, end = sequences[block[0]], sequences[block].max()
            replaced = sequences[order] >= begin
            passed = np.unique(sequences[order[replaced & (sequences[order] <= end)]])
            if len(np.unique(sequences[block])) < max(2, len(passed) / 2):
                stray += len(block)
                continue
            begins_anew = begin <= sequences.min() + BEGINNING * np.ptp(sequences)
            if begins_anew and sequences[order].max() == end and len(passed) > 2:
                raise several_runs(run, f"rows begin anew at {begin:,.0f} sequences", None)
            restarts.append(float(begin))
            dropped += sequences[order[replaced]].tolist()
            order = np.concatenate([order[~replaced], block])
    return order, list(_notes(restarts, dropped, late, stray))


def _blocks(segment: Rows, sequences: Array, reached: float) -> Iterator[Rows]:
    """A segment, split where late rows at its head end and rows go on where the log was."""
    x = sequences[segment]
    steps = np.diff(x)
    if len(steps) and x[0] <= reached < x[-1]:
        across = int(np.argmax(x > reached))
        typical = np.median(steps[across:]) if across < len(steps) else np.min(steps)
        if x[across] - x[across - 1] > LATE * typical:
            yield segment[:across]
            yield segment[across:]
            return
    yield segment


def _notes(
    restarts: Sequence[float], dropped: Sequence[float], late: int, stray: int
) -> Iterator[str]:
    """What was done to the rows, a sentence each."""
    if restarts:
        yield (
            f"training restarted at {', '.join(f'{s:,.0f}' for s in restarts)} sequences; "
            f"{len(dropped)} earlier rows from there on were dropped (they went to "
            f"{max(dropped):,.0f})"
        )
    if late:
        yield f"{_rows(late)} came late and were put in order of sequences"
    if stray:
        yield (
            f"{_rows(stray)} out of order disagree with the log, which goes on past them: "
            "left out as stray"
        )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
