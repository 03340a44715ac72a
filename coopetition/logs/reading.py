"""Read any log: a file, a folder of runs, or a run that ships with the package."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..curves.curve import Curves
from ..errors import LogError, unknown_name
from ..files import sha256_of
from .cleaning import clean_run
from .columns import Columns, columns_from, entries_of
from .formats import RawLog, events_log, format_of, uncompressed
from .shipped_runs import SHIPPED, shipped_run
from .tables import raw_runs
from .tensorboard_log import PATTERN, checksum, event_files

TENSORBOARD = "tensorboard"  # folder of event files in a run's folder
FOLDER_LOGS = ("curves.csv", "curves.parquet", "log.h5")  # in order of preference
SUFFIXES = ("", ".gz", ".zst")


def read_curves(
    source: str | os.PathLike[str],
    *,
    columns: Columns | Mapping[str, str] | str | None = None,
    run: str | int | None = None,
) -> tuple[Curves, ...]:
    """The curves in a training log, one `Curves` for each run in it.

    Parameters
    ----------
    source
        A file: a table as CSV, Parquet, JSONL or JSON (tidy: ``run, evaluator, metric, sequences,
        value, sem, n``; or wide: ``sequences`` and a column for each curve), a ``log.h5`` of the
        reference, or a TensorBoard event file (its tags are the columns of a wide table, beside
        ``step``); any of them also as gzip or zstd. Or a run's folder with ``curves.csv``,
        ``curves.parquet``, ``log.h5`` or event files in it, or a folder with such folders at any
        depth. Or ``published:NAME``, one of `published_runs`, or ``cpu:NAME``, one of `small_runs`.
        The format is recognised by the contents.
    columns
        Which column holds what, where the names don't show it, as in
        ``"flip=eval_flip,sequences=step*32"`` or a mapping of the same; see `parse_columns`.
    run
        The one run to return, where there are several.

    Returns
    -------
    tuple of Curves
        In the order of the file, with `Curves.source` (path, sha256, format, and ``columns`` and
        ``run`` where they were needed to find the run) and `Curves.notes` (what was mended).

    Raises
    ------
    LogError
        If the log is missing, empty, damaged, in no known format, or holds nothing usable.
    ValueError
        If ``columns`` or ``run`` names what is not there.

    Examples
    --------
    >>> (main,) = read_curves("published:main")
    >>> main.evaluators
    ('train', 'icl', 'ciwl', 'flip', 'iwl')
    """
    mapping = columns_from(columns)
    text = os.fspath(source)
    if text.startswith(SHIPPED):
        if mapping is not None:
            raise ValueError(f"columns cannot be given for {text}: its columns are known")
        runs = _shipped(text)
    else:
        path = Path(text).expanduser()
        runs = _from_folders(path, mapping) if path.is_dir() else _from_file(path, mapping)
    if run is None:
        return runs
    chosen = tuple(curves for curves in runs if curves.run == str(run))
    if not chosen:
        raise unknown_name(f"run in {text}", str(run), [curves.run for curves in runs])
    return chosen


def _shipped(text: str) -> tuple[Curves, ...]:
    """The run ``published:NAME`` or ``cpu:NAME``."""
    import pandas as pd

    content, settings, notes, origin = shipped_run(text)
    runs = raw_runs(pd.read_csv(io.BytesIO(content), dtype=str), None, name=text.split(":", 1)[1])
    source = {"path": text, "sha256": hashlib.sha256(content).hexdigest(), **origin}
    return _cleaned(RawLog(runs=runs, notes=notes, settings=settings), source)


def _from_file(path: Path, columns: Columns | None, name: str = "") -> tuple[Curves, ...]:
    """The runs in one file; ``name`` is for a run without one, by default the file's."""
    in_folder = name or path.name.removesuffix(".gz").removesuffix(".zst") in FOLDER_LOGS
    name = name or (path.stem.split(".")[0] if path.suffix in SUFFIXES else path.stem)
    with uncompressed(path) as inside:
        kind = format_of(inside)
        log = kind.read(path if inside == path else inside, columns, name)
    if log.settings is None:
        log = dataclasses.replace(log, settings=_settings_in(path.parent) if in_folder else {})
    source = {"path": str(path), "sha256": sha256_of(path), "format": kind.name}
    return _cleaned(log, source, columns)


def _from_folders(top: Path, columns: Columns | None) -> tuple[Curves, ...]:
    """The runs in a folder and those beneath it; runs of equal names get their folders'."""
    runs = [(folder, run) for folder in run_folders(top) for run in _from_folder(folder, columns)]
    names = [run.run for _, run in runs]
    return tuple(
        dataclasses.replace(run, run="-".join(folder.relative_to(top).parts))
        if names.count(run.run) > 1 and folder != top
        else run
        for folder, run in runs
    )


def _from_folder(folder: Path, columns: Columns | None) -> tuple[Curves, ...]:
    """The runs in the log of one run's folder."""
    logs, files = _logs_in(folder), event_files(folder)
    if not logs:
        log = events_log(files, columns, folder.resolve().name)
        log = dataclasses.replace(log, settings=_settings_beside(folder))
        source = {"path": str(folder), "sha256": checksum(files), "format": "tensorboard"}
        return _cleaned(log, source, columns)
    runs = _from_file(logs[0], columns, folder.resolve().name)
    others = [path.name for path in (*logs[1:], *files)]
    if not others:
        return runs
    note = f"beside {logs[0].name}, {', '.join(others[:5])} was not read"
    return tuple(dataclasses.replace(run, notes=(*run.notes, note)) for run in runs)


def _cleaned(
    log: RawLog, source: Mapping[str, Any], columns: Columns | None = None
) -> tuple[Curves, ...]:
    by_user = {} if columns is None else {"columns": entries_of(columns)}
    return tuple(
        clean_run(
            run,
            settings=log.settings or {},
            source={**source, **by_user, **({"run": run.name} if len(log.runs) > 1 else {})},
            log_notes=log.notes,
        )
        for run in log.runs
    )


def _logs_in(folder: Path) -> list[Path]:
    """The files in a folder that are named as logs are."""
    paths = (folder / f"{name}{suffix}" for name in FOLDER_LOGS for suffix in SUFFIXES)
    return [path for path in paths if path.is_file()]


def run_folders(top: Path) -> list[Path]:
    """The folders with a log, from ``top`` downward in order of names; links are not followed."""
    folders = list(_with_logs(top))
    if not folders:
        have = ", ".join(sorted(entry.name for entry in top.iterdir())[:20]) or "nothing"
        logs = ", ".join((*FOLDER_LOGS, PATTERN))
        raise LogError(f"folder {top} has none of {logs} (but {have})")
    return folders


def _with_logs(folder: Path) -> Iterator[Path]:
    logs = _logs_in(folder)
    if logs or event_files(folder):
        yield folder
    for inside in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        own_events = bool(logs) and inside.name == TENSORBOARD  # of the run just yielded
        if not (inside.is_symlink() or inside.name.startswith(".") or own_events):
            yield from _with_logs(inside)


def _settings_beside(folder: Path) -> dict[str, Any]:
    """The settings of a run with event files: in their folder, or where our trainer puts them."""
    places = [folder]
    above = folder.resolve().parent
    if above.name == TENSORBOARD:  # RUN/tensorboard/NAME; settings in RUN/NAME, or RUN if it is one
        places += [above.parent / folder.resolve().name, above.parent]
    return next((settings for settings in map(_settings_in, places) if settings), {})


def _settings_in(folder: Path) -> dict[str, Any]:
    """The settings in a folder of our trainer; empty where there are none."""
    path = folder / "settings.yaml"
    if not path.exists():
        return {}
    from ..settings.names import settings_of_ours
    from ..settings.yaml_files import load_yaml

    try:
        tree = load_yaml(path.read_text(encoding="utf-8"), str(path))
    except (ValueError, OSError) as error:
        raise LogError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, Mapping):
        raise LogError(f"{path} holds no settings; repair it or move it away")
    return settings_of_ours(tree)
