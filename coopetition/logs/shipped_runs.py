"""Runs that ship with the package: the digitised published ones, and small ones of our trainer.

The small ones were trained on a CPU and end in every verdict. Of each kind one table holds a run a
row: its settings, seeds and origin. The published curves are a file each; those of the small runs
stand in one table, with the number of sequences that each accuracy was measured on.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import math
from importlib import resources
from typing import Any

from ..errors import LogError, unknown_name

PUBLISHED, SMALL = "published:", "cpu:"
SHIPPED = (PUBLISHED, SMALL)  # how names of shipped runs begin
SETTINGS_TABLE, CURVES_TABLE = "small_runs.csv", "small_curves.csv"
_PUBLISHED_TABLE = "runs.csv"
EVALUATORS = ("train", "icl", "ciwl", "flip")  # of the small runs
LEAST = 1e-3  # variance of a single answer where all were alike

_TYPES = {  # of the settings in which small runs differ
    **dict.fromkeys(("n_classes", "n_exemplars", "batch_size", "seed"), int),
    **dict.fromkeys(("match_probability", "spread", "lr", "weight_decay"), float),
    **dict.fromkeys(("optimizer", "weight_decay_kind", "weight_decay_on"), str),
}
VARIED = tuple(_TYPES)
_PUBLISHED_TYPES = {
    **dict.fromkeys(
        ("depth", "width", "heads", "n_classes", "n_exemplars", "context_len", "burstiness",
         "batch_size", "init_seed", "train_seed"), int,
    ),
    **dict.fromkeys(("mlp_ratio", "lr", "weight_decay", "match_probability"), float),
    **dict.fromkeys(("positions", "optimizer", "start", "data"), str),
}  # fmt: skip


def published_runs() -> tuple[str, ...]:
    """The names of the published runs, as in ``published:NAME``.

    Examples
    --------
    >>> "main" in published_runs(), len(published_runs())
    (True, 20)
    """
    return tuple(_rows(_PUBLISHED_TABLE))


def small_runs() -> tuple[str, ...]:
    """The names of the small runs, as in ``cpu:NAME``.

    Examples
    --------
    >>> len(small_runs()) >= 24
    True
    """
    return tuple(_rows(SETTINGS_TABLE))


def published_settings(name: str) -> dict[str, Any]:
    """The training settings of one published run."""
    row = _row(_PUBLISHED_TABLE, name)
    return {field: read(row[field]) for field, read in _PUBLISHED_TYPES.items()}


def small_settings(name: str) -> dict[str, Any]:
    """The training settings of one small run."""
    from ..settings.training import BY_SHORT_NAME

    row = _row(SETTINGS_TABLE, name)
    # all else has its default, which a setting of later gives what the runs had without it
    return {
        **{name: one.default for name, one in BY_SHORT_NAME.items() if name not in VARIED},
        "data_kind": "gaussian",
        **{field: read(row[field]) for field, read in _TYPES.items()},
    }


def shipped_run(source: str) -> tuple[bytes, dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """The table (CSV), settings, notes and origin of ``published:NAME`` or ``cpu:NAME``."""
    name = source.split(":", 1)[1]
    if source.startswith(SMALL):
        return _small_table(name), small_settings(name), (), {"format": "small"}
    row = _row(_PUBLISHED_TABLE, name)
    table = (resources.files("coopetition.data") / "curves" / f"{name}.csv").read_bytes()
    notes = tuple(note.strip() for note in row["notes"].split(";") if note.strip())
    origin = {
        "format": "published",
        "publication": f"arXiv {json.loads(_text('sources.json'))['publication']['arxiv']}",
        "figure": row["figure"],
        "digitisation_error_max": float(row["digitisation_error_max"]),
    }
    return table, published_settings(name), notes, origin


def _small_table(name: str) -> bytes:
    """The tidy table of one small run, as CSV, with the standard errors √(p(1 − p)/n)."""
    _row(SETTINGS_TABLE, name)  # refuses unknown names
    if name not in _points():
        raise LogError(f"small run {name} has no curves in {CURVES_TABLE}; install anew")
    lines = ["run,evaluator,metric,sequences,value,sem,n"]
    for evaluator in EVALUATORS:
        for row in _points()[name]:
            value, n = float(row[evaluator]), int(row["n"])
            error = math.sqrt(max(value * (1 - value), LEAST) / n)
            lines.append(
                f"{name},{evaluator},in_context_acc,{row['sequences']},{value:g},{error:.3g},{n}"
            )
    return "\n".join([*lines, ""]).encode()


def _text(file: str) -> str:
    return (resources.files("coopetition.data") / file).read_text(encoding="utf-8")


@functools.cache
def _rows(table: str) -> dict[str, dict[str, str]]:
    """The rows of a table of runs, by run."""
    return {row["run"]: row for row in csv.DictReader(io.StringIO(_text(table)))}


def _row(table: str, name: str) -> dict[str, str]:
    rows = _rows(table)
    if name not in rows:
        kind = "small run" if table == SETTINGS_TABLE else "published run"
        raise unknown_name(kind, name, rows)
    return rows[name]


@functools.cache
def _points() -> dict[str, list[dict[str, str]]]:
    """The rows of the small runs' curves, by run."""
    points: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(_text(CURVES_TABLE))):
        points.setdefault(row["run"], []).append(row)
    return points
