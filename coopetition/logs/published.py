"""The digitised published curves that ship with the package."""

from __future__ import annotations

import csv
import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from ..errors import unknown_name

if TYPE_CHECKING:  # not there in Python 3.10
    from importlib.resources.abc import Traversable

PREFIX = "published:"
_WHOLE = ("depth", "width", "heads", "n_classes", "n_exemplars", "context_len", "burstiness")
_REAL = ("mlp_ratio", "lr", "weight_decay", "match_probability")
_COUNTS = ("batch_size", "init_seed", "train_seed")
_TEXT = ("positions", "optimizer", "start", "data")


@functools.cache
def _rows() -> dict[str, dict[str, str]]:
    """The rows of runs.csv by run."""
    with (_data() / "runs.csv").open(encoding="utf-8") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def _data() -> Traversable:
    return resources.files("coopetition.data")


def published_runs() -> tuple[str, ...]:
    """The names of the published runs, as in ``published:NAME``.

    Examples
    --------
    >>> "main" in published_runs(), len(published_runs())
    (True, 20)
    """
    return tuple(_rows())


def published_file(name: str) -> Traversable:
    """The table of one published run."""
    if name not in _rows():
        raise unknown_name("published run", name, _rows())
    return _data() / "curves" / f"{name}.csv"


def published_settings(name: str) -> dict[str, Any]:
    """The training settings of one published run."""
    row = _rows()[name]
    return {
        **{field: int(row[field]) for field in _WHOLE + _COUNTS},
        **{field: float(row[field]) for field in _REAL},
        **{field: row[field] for field in _TEXT},
    }


def published_source(name: str) -> dict[str, Any]:
    """Where one published run was read from: publication, figure, bound of the error."""
    row = _rows()[name]
    sources = json.loads((_data() / "sources.json").read_text(encoding="utf-8"))
    return {
        "publication": f"arXiv {sources['publication']['arxiv']}",
        "figure": row["figure"],
        "digitisation_error_max": float(row["digitisation_error_max"]),
    }


def published_notes(name: str) -> tuple[str, ...]:
    """What is worth knowing about one published run."""
    return tuple(note.strip() for note in _rows()[name]["notes"].split(";") if note.strip())
