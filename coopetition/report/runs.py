"""Measured runs in a report."""

from __future__ import annotations

from ..curves.curve import Curves
from ..curves.landmarks import NAMES, Landmark, Landmarks, landmarks
from ..curves.verdicts import verdict
from .section import Section, Table, interval, picture


def of_curves(curves: Curves) -> Section:
    """A measured run: its curves, landmarks and verdict."""
    from matplotlib.figure import Figure

    from .figures import plot_curves

    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    plot_curves(curves, ax=figure.subplots())
    flip = curves.accuracy("flip")
    # a run just begun has no two points yet
    marks = landmarks(curves) if flip is not None and len(flip) > 1 else None
    lead = f"{len(curves)} curves to {curves.last_sequence:,.0f} sequences"
    if marks is not None:
        said = verdict(curves)
        lead = f"ICL is {said} at {marks.horizon:,.0f} sequences"
    settings = tuple(
        (name, str(value)) for name, value in curves.settings.items() if name != "original"
    )
    tables = [_landmark_table(marks)] if marks is not None else []
    if settings:
        tables.append(("settings", ("setting", "value"), settings))
    source = ", ".join(f"{key} {value}" for key, value in curves.source.items())
    return Section(
        title=f"Run {curves.run}",
        lead=lead,
        figures=((picture(figure), f"accuracies of {curves.run} against sequences seen"),),
        tables=tuple(tables),
        notes=(*curves.notes, f"source: {source}"),
        sources=({name: curves.source.get(name) for name in ("path", "sha256")},),
    )


def _landmark_table(marks: Landmarks) -> Table:
    header = ("landmark", "value", f"{marks.level:.0%} interval")
    rows = []
    for name in NAMES:
        mark: Landmark | None = getattr(marks, name)
        if mark is None:
            rows.append((name, "none", ""))
            continue
        form = "{:.3f}" if name == "peak_flip" else "{:,.0f}"
        ends = interval(mark.lower, mark.upper, form, "open")
        rows.append((name, form.format(mark.value), ends))
    return "landmarks, in sequences", header, tuple(rows)
