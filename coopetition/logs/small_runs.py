"""Runs of our own trainer that ship with the package: small enough for a CPU, of every outcome.

Two tables: ``small_runs.csv``, the settings in which they differ, their seeds and their origin
(``benchmarks/small_runs.yaml``, ``fresh_runs.yaml``, ``fresh_again.yaml`` and ``proposals.py``; an
earlier sweep; the search for presets), and ``small_curves.csv``, the accuracies of all with the
number of sequences each was measured on.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from importlib import resources
from typing import Any

from ..errors import LogError, unknown_name

PREFIX = "cpu:"
SETTINGS_TABLE = "small_runs.csv"
CURVES_TABLE = "small_curves.csv"
_WHOLE = ("n_classes", "n_exemplars", "batch_size", "seed")
_REAL = ("match_probability", "spread", "lr", "weight_decay")
_TEXT = ("optimizer", "weight_decay_kind", "weight_decay_on")
EVALUATORS = ("train", "icl", "ciwl", "flip")
LEAST = 1e-3  # variance of a single answer where all were alike
VARIED = (*_WHOLE, *_REAL, *_TEXT)


@functools.cache
def _text(name: str) -> str:
    return (resources.files("coopetition.data") / name).read_text(encoding="utf-8")


@functools.cache
def _rows() -> dict[str, dict[str, str]]:
    """The rows of the settings' table by run."""
    return {row["run"]: row for row in csv.DictReader(io.StringIO(_text(SETTINGS_TABLE)))}


def small_runs() -> tuple[str, ...]:
    """The names of the small runs, as in ``cpu:NAME``.

    Examples
    --------
    >>> len(small_runs()) >= 24
    True
    """
    return tuple(_rows())


def small_settings(name: str) -> dict[str, Any]:
    """The training settings of one small run."""
    if name not in _rows():
        raise unknown_name("small run", name, _rows())
    row = _rows()[name]
    from ..settings.training import BY_SHORT_NAME

    # all else has its default, which a setting of later gives what the runs had without it
    return {
        **{name: one.default for name, one in BY_SHORT_NAME.items() if name not in VARIED},
        "data_kind": "gaussian",
        **{field: int(row[field]) for field in _WHOLE},
        **{field: float(row[field]) for field in _REAL},
        **{field: row[field] for field in _TEXT},
    }


@functools.cache
def _points() -> dict[str, list[dict[str, str]]]:
    """The rows of the curves' table by run."""
    points: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(_text(CURVES_TABLE))):
        points.setdefault(row["run"], []).append(row)
    return points


def small_table(name: str) -> str:
    """The tidy table of one small run, as CSV, with the standard errors √(p(1 − p)/n).

    Examples
    --------
    >>> small_table(small_runs()[0]).splitlines()[0]
    'run,evaluator,metric,sequences,value,sem,n'
    """
    if name not in _rows():
        raise unknown_name("small run", name, _rows())
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
    return "\n".join([*lines, ""])
