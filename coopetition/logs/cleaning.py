"""What raw logs suffer from, put right and said, or refused with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import ACCURACIES, EVALUATORS, METRICS, PROBABILITIES, Curve, Curves
from ..errors import LogError

Array = NDArray[np.float64]

ROUNDING = 0.01  # how far beyond [0, 1] an accuracy may lie and still be meant as 0 or 1
PER_CENT = 1.5  # an accuracy above this is a per cent
STRAY = 0.1  # share of a curve's points that may be out of range for other reasons than per cent
VARYING = tuple(f"{name}/in_context_acc" for name in EVALUATORS if name != "iwl")
FEW_POINTS = 8  # below this neither a fit nor a landmark means much


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RawCurve:
    """A curve as a log has it, rows in the file's order; arrays of shape ``(rows,)``."""

    evaluator: str
    metric: str
    sequences: Array
    values: Array
    sem: Array | None = None
    n: Array | None = None

    @property
    def name(self) -> str:
        """Evaluator and metric in one word."""
        return f"{self.evaluator}/{self.metric}"

    def take(self, rows: NDArray[Any]) -> RawCurve:
        """The rows that a mask or indices select."""
        return dataclasses.replace(
            self,
            sequences=self.sequences[rows],
            values=self.values[rows],
            sem=None if self.sem is None else self.sem[rows],
            n=None if self.n is None else self.n[rows],
        )

    def divided(self, by: float) -> RawCurve:
        """Values and their errors divided by a number."""
        sem = None if self.sem is None else self.sem / by
        return dataclasses.replace(self, values=self.values / by, sem=sem)


def clean_run(
    run: str,
    raw: Iterable[RawCurve],
    *,
    settings: Mapping[str, Any],
    source: Mapping[str, Any],
    notes: Iterable[str] = (),
) -> Curves:
    """The raw curves of a run as `Curves`, with a note for everything that was handled.

    Rows without a value are left out; rows that a restart wrote again replace the earlier ones;
    identical rows are dropped and contradicting ones averaged; per cent become fractions.

    Raises
    ------
    LogError
        If an accuracy is neither a fraction nor a per cent, a sequence count is negative, most
        rows contradict each other, or no evaluator has a point left.
    """
    said = list(notes)
    curves = []
    for curve in raw:
        curve = _merged(_in_order(_present(curve, run, said), said), run, said)
        if len(curve.values):
            curves.append(curve)
        else:
            said.append(f"{curve.name} has no point and was left out")
    names = [curve.name for curve in curves]
    for name in names:
        if names.count(name) > 1:
            raise LogError(
                f"run {run}: {names.count(name)} columns hold {name}; name the one that counts, "
                f"as in --columns {name}=COLUMN"
            )
    curves = _fractions(curves, run, said)
    if not any(curve.evaluator in EVALUATORS for curve in curves):
        have = ", ".join(curve.name for curve in curves) or "none"
        raise LogError(
            f"run {run}: no usable evaluator (has {have}; needs one of {', '.join(EVALUATORS)}): "
            "say which column is which, as in --columns flip=COLUMN,sequences=COLUMN"
        )
    for curve in curves:
        _say_poor(curve, said)
    return Curves(
        run=run,
        curves={(c.evaluator, c.metric): Curve(**vars(c)) for c in curves},
        settings=settings,
        source=source,
        notes=_together(said, {curve.name for curve in curves}),
    )


def _together(said: list[str], names: set[str]) -> tuple[str, ...]:
    """The notes, those that say the same of several curves made one."""
    of: dict[str, list[str]] = {}
    for note in said:
        name, colon, text = note.partition(": ")
        if colon and name in names:
            of.setdefault(text, []).append(name)
        else:
            of.setdefault(note, [])
    return tuple(
        text
        if not curves
        else f"{', '.join(curves[:3])}{f' and {len(curves) - 3} more' * (len(curves) > 3)}: {text}"
        for text, curves in of.items()
    )


def _present(curve: RawCurve, run: str, said: list[str]) -> RawCurve:
    """The rows that have both a finite value and a sequence count."""
    if np.any(curve.sequences < 0):
        raise LogError(
            f"run {run}: {curve.name} has a negative sequence count ({curve.sequences.min():g}); "
            "name the right column, as in --columns sequences=COLUMN"
        )
    good = np.isfinite(curve.values) & np.isfinite(curve.sequences)
    if good.any() and not good.all():
        said.append(
            f"{curve.name}: {np.sum(~good)} of {len(good)} rows have no value and were left out"
        )
    return curve.take(good)


def _in_order(curve: RawCurve, said: list[str]) -> RawCurve:
    """Rows by increasing sequences; what a restart wrote again replaces the rows before it."""
    steps = np.diff(curve.sequences)
    falls = np.flatnonzero(steps < 0) + 1
    if not len(falls):
        return curve
    if np.all(steps < 0) and len(steps) > 1:
        said.append(f"{curve.name}: the rows came newest first and were reversed")
        return curve.take(np.arange(len(curve.sequences))[::-1])
    # a restart leaves a few long ascents; a table in no order falls at every other row
    if len(falls) > max(2, len(steps) / 3):
        said.append(f"{curve.name}: the rows came in no order and were sorted by sequences")
        return curve.take(np.argsort(curve.sequences, kind="stable"))
    # from the end: a row counts if it lies below every row written after the next restart
    lowest_later = np.minimum.accumulate(curve.sequences[::-1])[::-1]
    keep = np.ones(len(curve.sequences), dtype=bool)
    for fall in falls:
        keep[:fall] &= curve.sequences[:fall] < lowest_later[fall]
    first = curve.sequences[falls]
    said.append(
        f"{curve.name}: training restarted at {', '.join(f'{s:,.0f}' for s in first)} sequences; "
        f"{np.sum(~keep)} earlier rows from there on were dropped (they went to "
        f"{curve.sequences[~keep].max():,.0f})"
    )
    return curve.take(keep)


def _merged(curve: RawCurve, run: str, said: list[str]) -> RawCurve:
    """One row for each sequence count: repeated rows dropped, contradicting ones averaged."""
    unique, group, counts = np.unique(curve.sequences, return_inverse=True, return_counts=True)
    if len(unique) == len(curve.sequences):
        return curve

    def mean(values: Array) -> Array:
        return np.bincount(group, weights=values) / counts

    highest = np.full(len(unique), -np.inf)
    lowest = np.full(len(unique), np.inf)
    np.maximum.at(highest, group, curve.values)
    np.minimum.at(lowest, group, curve.values)
    differ = highest > lowest
    if np.sum(differ) > max(3, len(unique) / 2):
        raise LogError(
            f"run {run}: {curve.name} has several values at {np.sum(differ)} of {len(unique)} "
            "sequence counts, so more than one run seems to be in the table; name the column that "
            "tells them apart, as in --columns run=seed"
        )
    repeated = len(curve.sequences) - len(unique) - int(np.sum(counts[differ] - 1))
    if repeated:
        said.append(f"{curve.name}: {repeated} repeated rows were dropped")
    if differ.any():
        said.append(
            f"{curve.name}: rows contradict each other at {np.sum(differ)} sequence counts (by up "
            f"to {np.max(highest - lowest):.3g}) and were averaged"
        )
    first = np.unique(group, return_index=True)[1]
    sem = curve.sem
    if sem is not None:  # of a mean of independent values; of one value where they are the same
        sem = np.where(differ, np.sqrt(mean(sem**2) / counts), sem[first])
    n = curve.n
    if n is not None:
        n = np.where(differ, mean(n) * counts, n[first])
    values = np.where(differ, mean(curve.values), curve.values[first])
    return dataclasses.replace(curve, sequences=unique, values=values, sem=sem, n=n)


def _fractions(curves: list[RawCurve], run: str, said: list[str]) -> list[RawCurve]:
    """Accuracies and probabilities as fractions, per cent divided by 100, rounding cut off."""
    for family, kind in ((ACCURACIES, "accuracies"), (PROBABILITIES, "probabilities")):
        members = [c for c in curves if c.metric in family]
        # a stray value alone does not make a curve one of per cent
        if not any(np.mean(c.values > PER_CENT) > STRAY for c in members):
            continue
        if max(c.values.max() for c in members) > 100 * (1 + ROUNDING):
            continue  # neither; _within says so
        for curve in members:  # in context there is always chance, so never below 1 % throughout
            if curve.metric == "in_context_acc" and curve.values.max() <= 1:
                raise LogError(
                    f"run {run}: {curve.name} never exceeds 1 while other {kind} reach "
                    f"{max(c.values.max() for c in members):g}; give all as fractions, or all as "
                    "per cent"
                )
        curves = [c.divided(100) if c in members else c for c in curves]
        said.append(f"the {kind} were in per cent and were divided by 100")
    return [_within(c, run, said) if c.metric in ACCURACIES + PROBABILITIES else c for c in curves]


def _within(curve: RawCurve, run: str, said: list[str]) -> RawCurve:
    """The curve within [0, 1]; what lies beyond by no more than rounding is cut off."""
    beyond = np.maximum(curve.values - 1, -curve.values)
    worst = int(np.argmax(beyond))
    if beyond[worst] > ROUNDING:
        raise LogError(
            f"run {run}: {curve.name} is {curve.values[worst]:g} at "
            f"{curve.sequences[worst]:,.0f} sequences, neither a fraction in [0, 1] nor a per "
            f"cent; if it is a loss, say so: --columns {curve.evaluator}/loss=COLUMN"
        )
    if beyond[worst] <= 0:
        return curve
    said.append(f"{curve.name}: {np.sum(beyond > 0)} values just beyond [0, 1] were cut off")
    return dataclasses.replace(curve, values=np.clip(curve.values, 0.0, 1.0))


def _say_poor(curve: RawCurve, said: list[str]) -> None:
    """Note what a reader of the curve should not overlook."""
    if curve.evaluator in EVALUATORS and curve.metric not in METRICS:
        said.append(f"{curve.name}: unknown metric, taken as it is")
    if curve.metric == "loss" and curve.values.min() < 0:
        said.append(f"{curve.name}: a cross-entropy cannot be negative ({curve.values.min():g})")
    if len(curve.values) < FEW_POINTS:
        said.append(f"{curve.name}: only {len(curve.values)} points")
    elif np.ptp(curve.values) == 0 and curve.name in VARYING:
        said.append(f"{curve.name}: flat, always {curve.values[0]:g}")
