"""Raw curves made clean: faults are mended and noted, or refused with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import ACCURACIES, EVALUATORS, METRICS, PROBABILITIES, Curve, Curves
from ..errors import LogError
from .restarts import LARGEST_FRACTION, RawCurve, RawRun, in_order, several_runs, telling_column

Array = NDArray[np.float64]

ROUNDING = 0.01  # how far beyond [0, 1] rounding may take an accuracy
STRAY = 0.1  # share of a curve's points above 1 up to which it is not taken for per cent
LEAST_PER_CENT = 20.0  # some in-context accuracy exceeds this: chance is 50 %
CHANCE = 0.5  # between the two labels of a context
BELOW_CHANCE = 0.1  # how far below chance an accuracy may stay
AT_LEAST_CHANCE = ("train", "icl", "ciwl")  # evaluators that no strategy answers worse than chance
VARYING = tuple(f"{name}/in_context_acc" for name in EVALUATORS if name != "iwl")
FEW_POINTS = 8  # below this neither a fit nor a landmark means much


def clean_run(
    raw: RawRun,
    *,
    settings: Mapping[str, Any],
    source: Mapping[str, Any],
    log_notes: Iterable[str] = (),
) -> Curves:
    """The raw curves of a run as `Curves`, with a note on every fault that was mended."""
    run, notes = raw.name, [*log_notes, *raw.notes]
    _require_evaluator(run, raw.curves)
    present = tuple(_present(curve, run, notes) for curve in raw.curves)
    raw = dataclasses.replace(raw, curves=present)
    ordered, order_notes = in_order(raw)
    notes += order_notes
    curves = []
    for curve in ordered:
        curve = _merged(curve, raw, notes)
        if len(curve.values):
            curves.append(_with_errors(curve, run, notes))
        else:
            notes.append(f"{curve.name} has no point and was left out")
    names = [curve.name for curve in curves]
    for name in names:
        if names.count(name) > 1:
            raise LogError(
                f"run {run}: {names.count(name)} columns hold {name}; name the one that counts, "
                f"as in --columns {name}=COLUMN"
            )
    curves = _fractions(curves, run, notes)
    _refuse_below_chance(curves, settings, run, notes)
    _require_evaluator(run, curves)
    for curve in curves:
        _note_oddities(curve, notes)
    fields = [field.name for field in dataclasses.fields(Curve)]
    return Curves(
        run=run,
        curves={
            (c.evaluator, c.metric): Curve(**{field: getattr(c, field) for field in fields})
            for c in curves
        },
        settings=settings,
        source=source,
        notes=_together(notes, set(names)),
    )


def _require_evaluator(run: str, curves: Iterable[RawCurve]) -> None:
    """Refuse a run without a curve of a standard evaluator."""
    if any(curve.evaluator in EVALUATORS for curve in curves):
        return
    have = ", ".join(curve.name for curve in curves) or "none"
    raise LogError(
        f"run {run}: no usable evaluator (has {have}; needs one of {', '.join(EVALUATORS)}): "
        "say which column is which, as in --columns flip=COLUMN,sequences=COLUMN"
    )


def _together(notes: list[str], names: set[str]) -> tuple[str, ...]:
    """The notes, with equal ones on several curves made one."""
    curves_of: dict[str, list[str]] = {}
    for note in notes:
        name, colon, text = note.partition(": ")
        if colon and name in names:
            curves_of.setdefault(text, []).append(name)
        else:
            curves_of.setdefault(note, [])
    merged = []
    for text, curves in curves_of.items():
        more = f" and {len(curves) - 3} more" if len(curves) > 3 else ""
        merged.append(f"{', '.join(curves[:3])}{more}: {text}" if curves else text)
    return tuple(merged)


def _present(curve: RawCurve, run: str, notes: list[str]) -> RawCurve:
    """The rows that have both a finite value and a sequence count."""
    if np.any(curve.sequences < 0):
        raise LogError(
            f"run {run}: {curve.name} has a negative sequence count ({curve.sequences.min():g}); "
            "name the right column, as in --columns sequences=COLUMN"
        )
    good = np.isfinite(curve.values) & np.isfinite(curve.sequences)
    if good.all():
        return curve
    if good.any():
        notes.append(
            f"{curve.name}: {np.sum(~good)} of {len(good)} rows have no value and were left out"
        )
    return curve.take(good)


def _merged(curve: RawCurve, raw: RawRun, notes: list[str]) -> RawCurve:
    """One point a sequence count: equal rows are dropped, those that agree are averaged."""
    if np.all(np.diff(curve.sequences) > 0):
        return curve
    unique, group, counts = np.unique(curve.sequences, return_inverse=True, return_counts=True)
    if len(unique) == len(curve.sequences):
        return curve.take(np.argsort(curve.sequences, kind="stable"))

    def mean(values: Array) -> Array:
        return np.bincount(group, weights=values) / counts

    highest = np.full(len(unique), -np.inf)
    lowest = np.full(len(unique), np.inf)
    np.maximum.at(highest, group, curve.values)
    np.minimum.at(lowest, group, curve.values)
    differ = highest > lowest
    allowed = np.sqrt(2 * mean(curve.tolerance() ** 2))
    beyond = highest - lowest > allowed
    several = np.sum(differ) > max(3, len(unique) / 2)
    if several or beyond.any():
        where = f"{np.sum(differ)} of {len(unique)} sequence counts"
        column = telling_column(raw, curve.rows, curve.sequences)
        if several or column:
            raise several_runs(raw, f"{curve.name} has several values at {where}", column)
        at = int(np.argmax(beyond))
        raise LogError(
            f"run {raw.name}: {curve.name} is both {lowest[at]:g} and {highest[at]:g} at "
            f"{unique[at]:,.0f} sequences, further apart than their errors; keep the right row"
        )
    repeated = len(curve.sequences) - len(unique) - int(np.sum(counts[differ] - 1))
    if repeated:
        notes.append(f"{curve.name}: {repeated} repeated rows were dropped")
    if differ.any():
        notes.append(
            f"{curve.name}: rows contradict each other at {np.sum(differ)} sequence counts (by up "
            f"to {np.max(highest - lowest):.3g}) and were averaged"
        )
    merged = curve.take(np.unique(group, return_index=True)[1])
    sem, n = merged.sem, merged.n
    # of a mean of independent values; of one value where all are alike
    if curve.sem is not None and sem is not None:
        sem = np.where(differ, np.sqrt(mean(curve.sem**2) / counts), sem)
    if curve.n is not None and n is not None:
        n = np.where(differ, mean(curve.n) * counts, n)
    values = np.where(differ, mean(curve.values), merged.values)
    return dataclasses.replace(merged, values=values, sem=sem, n=n)


def _with_errors(curve: RawCurve, run: str, notes: list[str]) -> RawCurve:
    """The curve with a standard error at every point, or at none."""
    if curve.sem is None:
        return curve
    if np.any(curve.sem < 0):
        raise LogError(
            f"run {run}: {curve.name} has a standard error of {np.nanmin(curve.sem):g}, and none "
            "can be negative; name the right column, as in --columns flip/sem=COLUMN"
        )
    finite = np.isfinite(curve.sem)
    if finite.all():
        return curve
    if not finite.any():
        return dataclasses.replace(curve, sem=None)
    notes.append(
        f"{curve.name}: {np.sum(~finite)} of {len(finite)} standard errors are missing and were "
        "taken to be the others' median"
    )
    return dataclasses.replace(curve, sem=np.where(finite, curve.sem, np.median(curve.sem[finite])))


def _fractions(curves: list[RawCurve], run: str, notes: list[str]) -> list[RawCurve]:
    """Accuracies and probabilities as fractions: per cent divided by 100, rounding clipped."""
    for family, kind in ((ACCURACIES, "accuracies"), (PROBABILITIES, "probabilities")):
        members = [c for c in curves if c.metric in family]
        # a stray value alone does not make a curve one of per cent
        if not any(np.mean(c.values > LARGEST_FRACTION) > STRAY for c in members):
            continue
        highest = max(c.values.max() for c in members)
        among_two = [c.values.max() for c in members if c.metric == "in_context_acc"]
        if highest > 100 * (1 + ROUNDING) or (among_two and max(among_two) < LEAST_PER_CENT):
            continue  # neither fractions nor per cent: _within refuses them
        for curve in members:  # in context there is always chance, so never below 1 % throughout
            if curve.metric == "in_context_acc" and curve.values.max() <= 1:
                raise LogError(
                    f"run {run}: {curve.name} never exceeds 1 while other {kind} reach "
                    f"{highest:g}; give all as fractions, or all as per cent"
                )
        for c in members:
            sem = None if c.sem is None else c.sem / 100
            fractions = dataclasses.replace(c, values=c.values / 100, sem=sem)
            curves = [fractions if other is c else other for other in curves]
        notes.append(f"the {kind} were in per cent and were divided by 100")
    return [_within(c, run, notes) if c.metric in ACCURACIES + PROBABILITIES else c for c in curves]


def _within(curve: RawCurve, run: str, notes: list[str]) -> RawCurve:
    """The curve clipped to [0, 1]; values beyond by more than rounding are refused."""
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
    notes.append(f"{curve.name}: {np.sum(beyond > 0)} values just beyond [0, 1] were cut off")
    return dataclasses.replace(curve, values=np.clip(curve.values, 0.0, 1.0))


def _refuse_below_chance(
    curves: Iterable[RawCurve], settings: Mapping[str, Any], run: str, notes: list[str]
) -> None:
    """Refuse accuracies that end below chance, as losses do; note those of other chance levels."""
    if settings.get("context_len", 2) != 2:
        return  # more labels in context: chance is not known
    for curve in curves:
        bounded = curve.metric == "in_context_acc" and curve.evaluator in AT_LEAST_CHANCE
        if not bounded or len(curve.values) < FEW_POINTS:
            continue
        third = len(curve.values) // 3
        begin, end = np.mean(curve.values[:third]), np.mean(curve.values[-third:])
        if end < CHANCE - BELOW_CHANCE and end < begin:
            raise LogError(
                f"run {run}: {curve.name} falls to {end:.3g}, below chance ({CHANCE} between two "
                f"labels), as no accuracy does; if it is a loss, say so: --columns "
                f"{curve.evaluator}/loss=COLUMN"
            )
        if begin < CHANCE - BELOW_CHANCE:
            notes.append(
                f"{curve.name}: begins at {begin:.2g}, below chance between two labels ({CHANCE}), "
                "as an accuracy among more labels does, which the models do not describe; give the "
                "one among the labels in context"
            )


def _note_oddities(curve: RawCurve, notes: list[str]) -> None:
    """Note what a reader of the curve should not overlook."""
    if curve.evaluator in EVALUATORS and curve.metric not in METRICS:
        notes.append(f"{curve.name}: unknown metric, taken as it is")
    if curve.metric == "loss" and curve.values.min() < 0:
        notes.append(f"{curve.name}: a cross-entropy cannot be negative ({curve.values.min():g})")
    if len(curve.values) < FEW_POINTS:
        notes.append(f"{curve.name}: only {len(curve.values)} points")
    elif np.ptp(curve.values) == 0 and curve.name in VARYING:
        notes.append(f"{curve.name}: flat, always {curve.values[0]:g}")
