"""The folder of a run: its settings, versions, curves, and the values behind them.

================================  ==================================================================
``settings.yaml``                 every setting
``run.json``                      versions, device, checksum of the data, what computed the steps;
                                  ``continued`` lists the same for each continuation
``curves.csv``                    the tidy table: run, evaluator, metric, sequences, value, sem, n
``measures.csv``                  measures of the circuits: run, measure, sequences, value
``evaluations/SEQUENCES.npz``     ``EVALUATOR/METRIC``: the value of each evaluation sequence
``evaluation.safetensors``        the evaluation sequences themselves, as indices
``checkpoints/``                  see `coopetition.train.folder.checkpoints`
``owner.lock``, ``owner.json``    while a process is at work: `coopetition.train.folder.ownership`
================================  ==================================================================
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...curves.curve import TABLE_COLUMNS
from ...errors import CheckpointError, TrainingError
from ...files import write_atomically
from ...settings.training import TrainingSettings
from ...settings.yaml_files import read_whole_settings, write_settings
from ...version import __version__
from ..evaluation.evaluators import Values
from ..evaluation.metrics import ACCURACIES

SETTINGS, CURVES, ABOUT, EVALUATIONS = "settings.yaml", "curves.csv", "run.json", "evaluations"
STORED, MEASURES = "evaluation.safetensors", "measures.csv"
MEASURE_COLUMNS = ("run", "measure", "sequences", "value")


class RunFolder:
    """The folder of one run. Its tables are appended to, and cut only when the run continues."""

    def __init__(self, path: Path, settings: TrainingSettings) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: TrainingSettings, about: Mapping[str, Any]) -> RunFolder:
        """A new folder with settings, versions and empty tables."""
        require_unmeasured(path)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / ABOUT, json.dumps({**versions(), **about}, indent=1))
        write_atomically(path / CURVES, ",".join(TABLE_COLUMNS) + "\n")
        if settings.run.measures_every:
            write_atomically(path / MEASURES, ",".join(MEASURE_COLUMNS) + "\n")
        write_settings(settings, path / SETTINGS)
        return cls(path, settings)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that was begun; CheckpointError if its settings are damaged."""
        if not (path / SETTINGS).is_file():
            raise CheckpointError(f"{path} holds no run ({SETTINGS} is missing)")
        try:
            return cls(path, read_whole_settings(path / SETTINGS))
        except ValueError as error:
            raise CheckpointError(
                f"the run's settings are damaged: {error}; restore them, or begin in another folder"
            ) from error

    def record(self, more: Mapping[str, Any], *, continued: bool = False) -> None:
        """Add to ``run.json``, or to the newest entry of its list ``continued`` where it has one.

        ``continued`` starts a new entry in that list, with the present versions.
        """
        path = self.path / ABOUT
        try:
            record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            entries = [*record.get("continued", ()), *([versions()] if continued else ())]
            if entries:
                record["continued"] = [*entries[:-1], {**entries[-1], **more}]
            else:
                record.update(more)
            write_atomically(path, json.dumps(record, indent=1))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"cannot add to {path}: {error}; make room, or move it away if it is damaged"
            ) from error

    def append(self, sequences: int, values: Values, more: Mapping[str, float]) -> None:
        """Add one evaluation, and single numbers ``more`` by ``evaluator/metric``."""
        name = self.settings.name
        rows: list[tuple[object, ...]] = [
            (name, evaluator, metric, sequences, *mean_and_error(array), len(array))
            for evaluator, by_metric in values.items()
            for metric, array in by_metric.items()
        ]
        rows += [(name, *key.split("/"), sequences, value, "", "") for key, value in more.items()]
        with self.writing("the evaluation", sequences):
            if self.settings.run.per_sequence:
                self.write_values(sequences, values)
            append_rows(self.path / CURVES, rows)

    def append_measures(self, sequences: int, measures: Mapping[str, float]) -> None:
        """Add one measurement of the circuits, by flat names."""
        rows = [(self.settings.name, name, sequences, v) for name, v in measures.items()]
        with self.writing("the measures", sequences):
            append_rows(self.path / MEASURES, rows)

    @contextlib.contextmanager
    def writing(self, what: str, sequences: int) -> Iterator[None]:
        """Turn a failure to write into an error that says how to continue."""
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"cannot write {what} at {sequences:,} sequences to {self.path}: {error}; "
                "make room, then continue (train --resume, or what began the run once more)"
            ) from error

    def write_values(self, sequences: int, values: Values) -> None:
        """Write the values of every evaluation sequence, accuracies as booleans."""
        folder = self.path / EVALUATIONS
        folder.mkdir(exist_ok=True)
        arrays: dict[str, Any] = {
            f"{evaluator}/{metric}": array.astype(bool) if metric in ACCURACIES else array
            for evaluator, by_metric in values.items()
            for metric, array in by_metric.items()
        }
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_atomically(folder / f"{sequences:015d}.npz", content.getvalue())

    def cut_after(self, sequences: int) -> None:
        """Drop measurements later than ``sequences`` or written only in part."""
        for table in (CURVES, MEASURES):
            cut_table(self.path / table, sequences)
        for path in (self.path / EVALUATIONS).glob("*.npz"):
            if int(path.stem) > sequences:
                path.unlink()


def versions() -> dict[str, str]:
    """Versions and machine, for ``run.json``."""
    return {
        "coopetition": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.platform(),
    }


def require_unmeasured(path: Path) -> None:
    """Refuse to begin a run where a table of curves has a row, even without settings beside it."""
    table = path / CURVES
    if not table.is_file() or len(table.read_bytes().splitlines()) <= 1:
        return
    if (path / SETTINGS).exists():
        raise ValueError(
            f"{path} holds a run already: continue it with --resume, or choose another folder"
        )
    raise ValueError(
        f"{table} holds curves already, without the {SETTINGS} of their run: choose another "
        "folder, or move it away"
    )


def mean_and_error(values: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[float, float]:
    """Mean of the values and its standard error, 0 for a single value."""
    exact = values.astype(np.float64)
    error = exact.std(ddof=1) / np.sqrt(len(exact)) if len(exact) > 1 else 0.0
    return float(exact.mean()), float(error)


def append_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Add rows and wait until they are on the disk."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())


def cut_table(path: Path, sequences: int) -> None:
    """Drop the rows later than ``sequences``, and a row written only in part."""
    if not path.is_file():
        return
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    columns = next(csv.reader([head]))
    earlier = [line for line in lines if row_sequences(line, columns) <= sequences]
    write_atomically(path, "".join([head, *earlier]))


def row_sequences(line: str, columns: Sequence[str]) -> float:
    """The ``sequences`` of a line; infinity for a line written only in part."""
    try:
        fields = next(csv.reader([line]))
        complete = line.endswith("\n") and len(fields) == len(columns)
        return float(fields[columns.index("sequences")]) if complete else math.inf
    except (ValueError, StopIteration, csv.Error):
        return math.inf
