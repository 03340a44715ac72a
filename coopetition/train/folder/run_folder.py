"""The folder of a run: its settings, versions, curves, and the values behind them.

================================  ==================================================================
``settings.yaml``                 every setting
``run.json``                      versions, device, checksum of the data, what computed the steps;
                                  under ``continued`` what was otherwise each time it was continued
``curves.csv``                    the tidy table: run, evaluator, metric, sequences, value, sem, n
``measures.csv``                  measures of the circuits: run, measure, sequences, value
``evaluations/SEQUENCES.npz``     ``EVALUATOR/METRIC``: the value of each evaluation sequence
``evaluation.safetensors``        the evaluation sequences themselves, as indices
``checkpoints/``                  see `coopetition.train.folder.checkpoints`
``owner.lock``                    while a process is at work: `coopetition.train.folder.ownership`
================================  ==================================================================
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping
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
from .tables import append_rows, begin_table, cut_table

SETTINGS, CURVES, ABOUT, EVALUATIONS = "settings.yaml", "curves.csv", "run.json", "evaluations"
STORED, MEASURES = "evaluation.safetensors", "measures.csv"
MEASURE_COLUMNS = ("run", "measure", "sequences", "value")


class RunFolder:
    """Where one run leaves what it measures. Its tables are appended to and never rewritten.

    Parameters
    ----------
    path
        The folder, which must exist; see `create` and `open`.
    settings
        The run's settings.
    """

    def __init__(self, path: Path, settings: TrainingSettings) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: TrainingSettings, about: Mapping[str, Any]) -> RunFolder:
        """A new folder with settings, versions and an empty table.

        Raises
        ------
        ValueError
            If anything measured is there already.
        """
        require_unmeasured(path)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / ABOUT, json.dumps({**versions(), **about}, indent=1))
        begin_table(path / CURVES, TABLE_COLUMNS)
        if settings.run.measures_every:
            begin_table(path / MEASURES, MEASURE_COLUMNS)
        write_settings(settings, path / SETTINGS)
        return cls(path, settings)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of a run that was begun.

        Raises
        ------
        CheckpointError
            If there is no run in it, or its settings are damaged.
        """
        if not (path / SETTINGS).is_file():
            raise CheckpointError(f"{path} holds no run ({SETTINGS} is missing)")
        try:
            return cls(path, read_whole_settings(path / SETTINGS))
        except ValueError as error:
            raise CheckpointError(
                f"the run's settings are damaged: {error}; restore them, or begin in another folder"
            ) from error

    def record(self, more: Mapping[str, Any], *, continued: bool = False) -> None:
        """Add to ``run.json`` what only shows while a run trains.

        Parameters
        ----------
        more
            Goes into the newest entry of the list ``continued``; where there is none, to the top.
        continued
            Whether to begin such an entry, with the present versions.

        Raises
        ------
        TrainingError
            If it cannot be written.
        """
        path = self.path / ABOUT
        try:
            says = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            entries = [*says.get("continued", ()), *([versions()] if continued else ())]
            if entries:
                says["continued"] = [*entries[:-1], {**entries[-1], **more}]
            else:
                says.update(more)
            write_atomically(path, json.dumps(says, indent=1))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"cannot add to {path}: {error}; make room, or move it away if it is damaged"
            ) from error

    def append(self, sequences: int, values: Values, more: Mapping[str, float]) -> None:
        """Add one evaluation: means and standard errors to the table, values to their own file.

        Parameters
        ----------
        sequences
            Training sequences seen.
        values
            Of each evaluator and metric, every sequence's.
        more
            Further single numbers by ``evaluator/metric``.

        Raises
        ------
        TrainingError
            If the files cannot be written; what was there stays as it is.
        """
        rows = [
            (evaluator, metric, sequences, *mean_and_error(of_metric), len(of_metric))
            for evaluator, by_metric in values.items()
            for metric, of_metric in by_metric.items()
        ]
        name = self.settings.name
        table: list[tuple[object, ...]] = [(name, *row) for row in rows]
        table += [(name, *key.split("/"), sequences, value, "", "") for key, value in more.items()]
        try:
            if self.settings.run.per_sequence:
                self.write_values(sequences, values)
            append_rows(self.path / CURVES, table)
        except OSError as error:
            raise TrainingError(
                f"cannot write the evaluation at {sequences:,} sequences to {self.path}: {error}; "
                "make room, then continue (train --resume, or what began the run once more)"
            ) from error

    def append_measures(self, sequences: int, measures: Mapping[str, float]) -> None:
        """Add one measurement of the circuits, by flat names.

        Raises
        ------
        TrainingError
            If it cannot be written.
        """
        name = self.settings.name
        try:
            append_rows(
                self.path / MEASURES, [(name, m, sequences, v) for m, v in measures.items()]
            )
        except OSError as error:
            raise TrainingError(
                f"cannot write the measures at {sequences:,} sequences to {self.path}: {error}; "
                "make room, then continue (train --resume, or what began the run once more)"
            ) from error

    def write_values(self, sequences: int, values: Values) -> None:
        """Every evaluation sequence's values, accuracies as booleans."""
        folder = self.path / EVALUATIONS
        folder.mkdir(exist_ok=True)
        content = io.BytesIO()
        arrays: dict[str, Any] = {
            f"{evaluator}/{metric}": of_metric.astype(bool) if metric in ACCURACIES else of_metric
            for evaluator, by_metric in values.items()
            for metric, of_metric in by_metric.items()
        }
        np.savez_compressed(content, **arrays)
        write_atomically(folder / f"{sequences:015d}.npz", content.getvalue())

    def cut_after(self, sequences: int) -> None:
        """Drop what was measured later than ``sequences``, or written only in part."""
        for table in (CURVES, MEASURES):
            cut_table(self.path / table, sequences)
        for path in (self.path / EVALUATIONS).glob("*.npz"):
            if int(path.stem) > sequences:
                path.unlink()


def versions() -> dict[str, str]:
    """What a run stands on, for ``run.json``."""
    return {
        "coopetition": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.platform(),
    }


def require_unmeasured(path: Path) -> None:
    """Refuse to begin a run where anything was measured.

    Raises
    ------
    ValueError
        If the table of curves there has a row, whether or not it belongs to a run.
    """
    table = path / CURVES
    if not table.is_file() or len(table.read_bytes().splitlines()) <= 1:
        return
    if (path / SETTINGS).exists():
        raise ValueError(
            f"{path} holds a run already: continue it with --resume, or choose another folder"
        )
    raise ValueError(
        f"{table} holds curves already, but no {SETTINGS} beside it says of which run: choose "
        "another folder, or move it away"
    )


def mean_and_error(values: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[float, float]:
    """Mean of the values and its standard error, 0 for a single value."""
    exact = values.astype(np.float64)
    error = exact.std(ddof=1) / np.sqrt(len(exact)) if len(exact) > 1 else 0.0
    return float(exact.mean()), float(error)
