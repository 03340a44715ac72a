"""Files that are whole or absent, and what they were made from."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .errors import CoopetitionError, LogError, UnknownNameError
from .version import __version__

Stored = TypeVar("Stored")

PARTIAL = ".partial"  # what a process killed while it writes leaves behind ends so
_BLOCK = 1 << 20


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a file so that a reader meets all of it or none, even after a loss of power.

    It is written beside the path under a name that ends in `PARTIAL`, and renamed when it is on the
    disk; on an `OSError` nothing is left behind. Folders are made, ``~`` is the user's own, and
    where the path is a link, what it points to is replaced. Returns the path.
    """
    path = Path(path).expanduser()
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with Path(path).expanduser().open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def provenance(
    command: str,
    settings: Mapping[str, Any],
    *,
    seed: int | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sources: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What a result file says of its making: ``version, command, settings, seed, inputs, made``.

    ``inputs`` are files that were read, whose checksums are taken now; ``sources`` those of curves
    (`Curves.source`), with the checksums of when they were read; ``made`` is the time (UTC).
    """
    logs = {str(s["path"]): str(s["sha256"]) for s in sources if "path" in s and "sha256" in s}
    read = {**{str(path): sha256_of(path) for path in inputs}, **logs}
    return {
        "version": __version__,
        "command": command,
        "settings": dict(settings),
        "seed": seed,
        "inputs": [{"path": path, "sha256": digest} for path, digest in read.items()],
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


@dataclasses.dataclass
class _Header:
    """What says which file it is and who made it."""

    format: Any = None
    version: Any = None
    provenance: Any = None


def read_stored(
    path: str | os.PathLike[str], schema: type[Stored], *, kind: str, number: int, remedy: str
) -> Stored:
    """A JSON file of the package as a type that pydantic knows; keys the type lacks are ignored.

    The file's ``format`` is ``coopetition KIND NUMBER``; the number is raised when older files can
    no longer be read. ``remedy`` ends every message, such as ``propose anew``. A
    `CoopetitionError` says that the file cannot be read, is of another kind or number (and which
    version made it), or where it is damaged.
    """
    import pydantic

    file = Path(path).expanduser()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CoopetitionError(
            f"cannot read {kind} from {file} ({error.strerror}); {remedy}"
        ) from error
    try:
        header = pydantic.TypeAdapter(_Header).validate_json(content)
        said, _, stored = str(header.format).rpartition(" ")
        if said != f"coopetition {kind}" and not isinstance(header.format, int):
            raise CoopetitionError(
                f"{file} holds no {kind}: its format is not 'coopetition {kind} {number}'; {remedy}"
            )
        if stored != str(number):
            origin = header.provenance if isinstance(header.provenance, dict) else {}
            version = header.version or origin.get("version", "of an unknown version")
            made = f"coopetition {version}"
            raise CoopetitionError(
                f"{file} is of format {stored:.20}, made by {made:.40}; coopetition {__version__} "
                f"reads format {number}: {remedy}"
            )
        return pydantic.TypeAdapter(schema).validate_json(content, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        place = ".".join(str(part) for part in first["loc"])
        what = f"{place:.100}: {message}" if place else message
        raise CoopetitionError(f"{file} is damaged ({what:.300}); {remedy}") from error


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: arrays as lists, what is not finite as null, a path as text."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def write_table(
    path: str | os.PathLike[str], columns: Mapping[str, Any], about: Mapping[str, Any]
) -> Path:
    """Write columns as CSV or Parquet, by the suffix, with their provenance.

    Parquet holds the provenance in its metadata under ``coopetition``; a CSV, which has no room for
    it, gets a file ``NAME.about.json`` beside it.
    """
    import io

    import pandas as pd

    path = checked_table_path(path)
    table = pd.DataFrame(dict(columns))
    if path.suffix == ".csv":
        write_atomically(path, table.to_csv(index=False))
        write_atomically(path.with_name(f"{path.name}.about.json"), json.dumps(about, indent=2))
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"coopetition": json.dumps(about).encode()}
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata(metadata), buffer)
    return write_atomically(path, buffer.getvalue())


def checked_table_path(path: str | os.PathLike[str]) -> Path:
    """The path of a table; a `ValueError` where its suffix is neither ``.csv`` nor ``.parquet``."""
    path = Path(path).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"cannot write a table to {path}: end its name in .csv or .parquet")
    return path


@contextlib.contextmanager
def foreign_parser(
    path: str | os.PathLike[str],
    kind: str,
    *,
    remedy: str = "restore it, or write it anew",
    error: type[CoopetitionError] = LogError,
) -> Iterator[None]:
    """Around every parser of other people's files: whatever it raises becomes one plain error.

    Raises
    ------
    CoopetitionError
        Of the class asked for, naming the file, what is wrong and the remedy, for anything that is
        raised inside; errors of the package pass as they are.
    """
    try:
        yield
    except (CoopetitionError, UnknownNameError):
        raise
    except Exception as problem:
        if isinstance(problem, RecursionError):
            reason = "it is nested too deep"
        elif isinstance(problem, MemoryError):
            reason = "it asks for more memory than there is"
        else:
            reason = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        raise error(f"{path} is a truncated or damaged {kind}: {reason[:200]}; {remedy}") from None
