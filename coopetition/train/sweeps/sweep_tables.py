"""The tables of a sweep: the curves of all its runs, and a row for each run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...curves.landmarks import NAMES, landmarks
from ...curves.verdicts import verdict
from ...files import provenance, write_table
from ...settings.yaml_files import as_plain
from .sweep_run import SweepResult, SweptRun

if TYPE_CHECKING:
    import pandas as pd

    from ...curves.curve import Curves

CURVES, RUNS = "sweep_curves", "sweep_runs"  # not curves.*: that would make the folder one run's
FORMATS = ("csv", "parquet")


def write_sweep_tables(
    result: SweepResult,
    *,
    suffix: str = "csv",
    about: Mapping[str, Any] | None = None,
    inputs: Iterable[Path] = (),
) -> tuple[Path, Path]:
    """Write ``sweep_curves`` and ``sweep_runs`` into the sweep's folder, as csv or parquet.

    The first is the tidy table ``run, evaluator, metric, sequences, value, sem, n`` of all runs,
    also of those that failed half-way. The second has a row for each run: ``run, status, error,
    folder, attempts, sequences, seconds, verdict, horizon``, each landmark with its interval
    (``emergence, emergence_lower, emergence_upper, …``), ``final_EVALUATOR``, the settings that
    vary, and then all others, named ``section.name``. ``about`` and the checksums of ``inputs`` are
    recorded with the tables.
    """
    if suffix not in FORMATS:
        raise ValueError(f"suffix = {suffix!r}: use {' or '.join(FORMATS)}")
    origin = provenance("train", {"sweep": result.sweep.name, **(about or {})}, inputs=inputs)
    curves = result.folder / f"{CURVES}.{suffix}"
    runs = result.folder / f"{RUNS}.{suffix}"
    write_table(curves, dict(curves_table(result)), origin)
    write_table(runs, dict(runs_table(result)), origin)
    return curves, runs


def curves_table(result: SweepResult) -> pd.DataFrame:
    """The curves of every run that has any, in the order of the runs."""
    import pandas as pd

    from ...curves.curve import TABLE_COLUMNS

    tables = [run.curves.to_table() for run in result.runs if run.curves is not None]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(TABLE_COLUMNS))
    return pd.concat(tables, ignore_index=True)


def runs_table(result: SweepResult) -> pd.DataFrame:
    """A row for each run: its results, then its settings, the varied ones first."""
    import pandas as pd

    rows = []
    for run in result.runs:
        settings = dict(flat(as_plain(run.settings)))
        varied = {name: settings[name] for name in result.sweep.varied if name in settings}
        rows.append({**row_of(run), **varied, **settings})
    return pd.DataFrame(rows)


def row_of(run: SweptRun) -> dict[str, Any]:
    """The results of a run, by column."""
    results = {} if run.curves is None else readings(run.curves)
    marks = results.get("landmarks") or {}
    intervals = marks.get("intervals") or {}
    row: dict[str, Any] = {
        "run": run.settings.name,
        "status": run.status,
        "error": run.error,
        "folder": str(run.folder),
        "attempts": run.attempts,
        "sequences": run.sequences,
        "seconds": run.seconds,
        "verdict": results.get("verdict"),
        "horizon": results.get("horizon"),
    }
    for name in NAMES:
        lower, upper = intervals.get(name) or (None, None)
        row |= {name: marks.get(name), f"{name}_lower": lower, f"{name}_upper": upper}
    return row | {f"final_{name}": value for name, value in results.get("final", {}).items()}


def readings(curves: Curves) -> dict[str, Any]:
    """Landmarks, verdict, its horizon and final accuracies; null without a flip accuracy."""
    flip = curves.accuracy("flip")
    enough = flip is not None and len(flip) > 1
    marks = landmarks(curves).as_dict() if enough else {}
    marks.pop("final", None)  # of every metric; the headline values have a key of their own
    return {
        "landmarks": marks or None,
        "verdict": verdict(curves) if enough else None,
        "horizon": marks.get("horizon"),
        "final": {
            curve.evaluator: float(curve.values[-1])
            for curve in curves
            if curve.label == curve.evaluator and len(curve)
        },
    }


def flat(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as ``section.name`` and value; lists as JSON."""
    for name, value in tree.items():
        column = f"{path}{name}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{column}.")
        elif column != "name":  # the table's column ``run``
            yield column, json.dumps(value) if isinstance(value, list | dict) else value
