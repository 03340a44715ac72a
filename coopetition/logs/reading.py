"""Any log to curves: what a source is, and who reads it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..curves.curve import Curves
from ..errors import LogError, unknown_name
from ..files import sha256_of
from ..settings.names import settings_of_ours
from .cleaning import clean_run
from .columns import Columns, columns_from, entries_of
from .published import PREFIX, published_file, published_notes, published_settings, published_source
from .small_runs import PREFIX as SMALL
from .small_runs import small_settings, small_table
from .tables import RawRun, raw_runs
from .tensorboard_log import PATTERN, checksum, event_files, is_event_file, read_events

SHIPPED = (PREFIX, SMALL)  # how names of runs that come with the package begin
TENSORBOARD = "tensorboard"  # folder of event files in a run's folder
FOLDER_LOGS = ("curves.csv", "curves.parquet", "log.h5")  # in the order they are looked for


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
        A file: a table as CSV, Parquet or JSONL (tidy: ``run, evaluator, metric, sequences,
        value, sem, n``; or wide: ``sequences`` and a column for each curve), a ``log.h5`` of the
        reference, or a TensorBoard event file (its tags are the columns of a wide table, beside
        ``step``). Or a run's folder with ``curves.csv``, ``curves.parquet``, ``log.h5`` or event
        files in it, or a folder of such folders. Or ``published:NAME``, one of `published_runs`, or
        ``cpu:NAME``, one of `small_runs`. The format is told by the contents.
    columns
        Which column holds what, where their names don't say it, as in
        ``"flip=eval_flip,sequences=step*32"`` or a mapping of the same; see `parse_columns`.
    run
        The one run to return, where there are several.

    Returns
    -------
    tuple of Curves
        In the order of the file, with `Curves.source` (path, sha256, format, and ``columns`` and
        ``run`` where they were needed to find the run) and `Curves.notes` (what had to be handled).

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
    if text.startswith(PREFIX):
        runs = _published(text, mapping)
    elif text.startswith(SMALL):
        runs = _small(text, mapping)
    else:
        runs = _from_path(Path(text).expanduser(), mapping)
    if run is None:
        return runs
    chosen = tuple(curves for curves in runs if curves.run == str(run))
    if not chosen:
        raise unknown_name(f"run in {text}", str(run), [curves.run for curves in runs])
    return chosen


def _published(text: str, columns: Columns | None) -> tuple[Curves, ...]:
    name = text.removeprefix(PREFIX)
    if columns is not None:
        raise ValueError(f"columns cannot be given for {text}: its columns are known")
    from importlib.resources import as_file

    from .table_files import read_csv

    with as_file(published_file(name)) as path:
        source = {"path": text, "sha256": sha256_of(path), "format": "published"}
        raws = raw_runs(read_csv(path), None, name=name)
    source |= published_source(name)
    return _cleaned(raws, published_settings(name), source, published_notes(name))


def _small(text: str, columns: Columns | None) -> tuple[Curves, ...]:
    name = text.removeprefix(SMALL)
    if columns is not None:
        raise ValueError(f"columns cannot be given for {text}: its columns are known")
    import io

    import pandas as pd

    settings, table = small_settings(name), small_table(name)
    source = {"path": text, "sha256": hashlib.sha256(table.encode()).hexdigest(), "format": "small"}
    raws = raw_runs(pd.read_csv(io.StringIO(table), dtype=str), None, name=name)
    return _cleaned(raws, settings, source, ())


def _from_path(path: Path, columns: Columns | None) -> tuple[Curves, ...]:
    """The runs in a file, in a run's folder, or in a folder of such folders."""
    if path.is_dir():
        folders = run_folders(path)
        return tuple(run for folder in folders for run in _from_folder(folder, columns))
    return _from_file(path, columns, name=path.stem, settings={})


def _from_folder(folder: Path, columns: Columns | None) -> tuple[Curves, ...]:
    """The runs in the log of one run's folder."""
    log = next((folder / name for name in FOLDER_LOGS if (folder / name).exists()), None)
    name = folder.resolve().name
    if log is None:
        return _from_events(event_files(folder), folder, columns, _settings_beside(folder))
    return _from_file(log, columns, name=name, settings=_settings_in(folder))


def _from_events(
    files: Sequence[Path], path: Path, columns: Columns | None, settings: Mapping[str, Any]
) -> tuple[Curves, ...]:
    """The run in event files, named after their folder."""
    table = read_events(files, columns)
    source = {"path": str(path), "sha256": checksum(files), "format": "tensorboard"}
    raws = raw_runs(table, columns, name=files[0].resolve().parent.name)
    return _cleaned(raws, settings, source, table.attrs["notes"], columns)


def _from_file(
    path: Path, columns: Columns | None, *, name: str, settings: Mapping[str, Any]
) -> tuple[Curves, ...]:
    """The runs in one file; ``name`` is for a run that has none in it."""
    kind = sniff(path)
    if kind == "tensorboard":
        return _from_events([path], path, columns, settings)
    notes: Iterable[str] = ()
    if kind == "hdf5":
        from .reference_log import raw_reference_run

        raw, settings = raw_reference_run(path, columns)
        raws = [raw]
    else:
        from . import table_files

        reader = getattr(table_files, f"read_{kind}")
        table = reader(path)
        notes = table.attrs.get("notes", ())
        raws = raw_runs(table, columns, name=name)
    source = {"path": str(path), "sha256": sha256_of(path), "format": kind}
    return _cleaned(raws, settings, source, notes, columns)


def _cleaned(
    raws: list[RawRun],
    settings: Mapping[str, Any],
    source: Mapping[str, Any],
    notes: Iterable[str],
    columns: Columns | None = None,
) -> tuple[Curves, ...]:
    asked = {} if columns is None else {"columns": entries_of(columns)}
    return tuple(
        clean_run(
            raw.name,
            raw.curves,
            settings=settings,
            source={**source, **asked, **({"run": raw.name} if len(raws) > 1 else {})},
            notes=(*notes, *raw.notes),
        )
        for raw in raws
    )


def sniff(path: Path) -> str:
    """The format of a file by its first bytes: ``hdf5``, ``parquet``, ``tensorboard``, ``jsonl`` or
    ``csv``.

    Raises
    ------
    LogError
        If there is no such file, or it is empty, compressed or cannot be read.
    """
    if not path.exists():
        near = _nearest(path)
        raise LogError(f"no file {path}{f'; did you mean {near}?' if near else ''}")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from None
    if not head.strip():
        raise LogError(f"{path} is empty; give a log that has been written to")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PAR1"):
        return "parquet"
    if is_event_file(head):
        return "tensorboard"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")):
        raise LogError(f"{path} is compressed; unpack it first")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "jsonl" if text.startswith((b"{", b"[")) else "csv"


def _nearest(path: Path) -> str | None:
    """The file in the same folder whose name is nearest."""
    import difflib

    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return str(path.parent / near[0]) if near else None


def run_folders(folder: Path) -> list[Path]:
    """The folder itself where a log is in it, else the folders in it that hold one, by name."""
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    found = [
        each
        for each in (folder, *inside)
        if any((each / name).exists() for name in FOLDER_LOGS) or event_files(each)
    ]
    if not found:
        have = ", ".join(sorted(entry.name for entry in folder.iterdir())[:20]) or "nothing"
        logs = ", ".join((*FOLDER_LOGS, PATTERN))
        raise LogError(f"folder {folder} has none of {logs} (but {have})")
    return found[:1] if found[0] == folder else found


def _settings_beside(folder: Path) -> dict[str, Any]:
    """The settings of a run with event files: in their folder or, as our trainer has it, above.

    Our trainer writes ``RUN/tensorboard/NAME``, and the settings into ``RUN`` or, of several runs
    trained together, into ``RUN/NAME``.
    """
    places = [folder]
    above = folder.resolve().parent
    if above.name == TENSORBOARD:
        places += [above.parent / folder.resolve().name, above.parent]
    return next((found for found in map(_settings_in, places) if found), {})


def _settings_in(folder: Path) -> dict[str, Any]:
    """The settings in a run's folder of our trainer, empty where there are none."""
    import yaml

    path = folder / "settings.yaml"
    if not path.exists():
        return {}
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LogError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, Mapping):
        raise LogError(f"{path} holds no settings; repair it or move it away")
    return settings_of_ours(tree)
