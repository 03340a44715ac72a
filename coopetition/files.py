"""Writing files whole or not at all, recording what made them, and reading stored results."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
import os
import secrets
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import CoopetitionError, LogError, UnknownNameError
from .version import __version__

if TYPE_CHECKING:
    import h5py

Stored = TypeVar("Stored")

PARTIAL = ".partial"  # the suffix of a file being written; a killed process leaves it behind
_BLOCK = 1 << 20  # bytes
_LARGEST_RATIO = 1000  # of an HDF5 data set's declared bytes to its compressed ones on disk


def write_atomically(
    path: str | os.PathLike[str], content: bytes | str, *, mode: int = 0o666
) -> Path:
    """Write a file so that a reader finds all of it or none, even after a loss of power.

    The content goes to a file beside it that ends in `PARTIAL`, which is renamed once it is on the
    disk and removed on failure. Missing folders are made, ``~`` is expanded, and a link stays: the
    file it points to is replaced. ``mode`` is the file's, less the umask. Returns the path.
    """
    path = Path(path).expanduser()
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
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
    """How a result file was made: ``version, command, settings, seed, inputs, made`` (UTC).

    The checksums of ``inputs``, files that were read, are computed now; those of ``sources``
    (`Curves.source`) are from when the curves were read.
    """
    checksums = {str(path): sha256_of(path) for path in inputs}
    checksums |= {str(s["path"]): str(s["sha256"]) for s in sources if {"path", "sha256"} <= set(s)}
    return {
        "version": __version__,
        "command": command,
        "settings": dict(settings),
        "seed": seed,
        "inputs": [{"path": path, "sha256": digest} for path, digest in checksums.items()],
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


@dataclasses.dataclass
class _Header:
    format: Any = None
    version: Any = None
    provenance: Any = None


def read_stored(
    path: str | os.PathLike[str], schema: type[Stored], *, kind: str, number: int, remedy: str
) -> Stored:
    """Read a JSON file of the package as ``schema``; keys that the schema lacks are ignored.

    The file's ``format`` is ``coopetition KIND NUMBER``; the number is raised when older files can
    no longer be read. ``remedy`` ends every message, such as ``propose anew``. Raises
    `CoopetitionError` if the file cannot be read, is of another kind or number (naming the version
    that made it), or is damaged (naming the place).
    """
    import pydantic

    file = Path(path).expanduser()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CoopetitionError(
            f"cannot read {kind} from {file} ({error.strerror}); {remedy}"
        ) from error
    with foreign_parser(file, kind, remedy=remedy, error=CoopetitionError):
        try:
            header = pydantic.TypeAdapter(_Header).validate_json(content)
            stored_kind, _, stored_number = str(header.format).rpartition(" ")
            if stored_kind != f"coopetition {kind}" and not isinstance(header.format, int):
                raise CoopetitionError(
                    f"{file} holds no {kind}: its format is not 'coopetition {kind} {number}'; "
                    f"{remedy}"
                )
            if stored_number != str(number):
                origin = header.provenance if isinstance(header.provenance, dict) else {}
                maker = header.version or origin.get("version", "of an unknown version")
                raise CoopetitionError(
                    f"{file} is of format {stored_number:.20}, made by coopetition {maker!s:.28}; "
                    f"coopetition {__version__} reads format {number}: {remedy}"
                )
            return pydantic.TypeAdapter(schema).validate_json(content, strict=True)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            problem = first["msg"].removeprefix("Value error, ")
            if place := ".".join(str(part) for part in first["loc"]):
                problem = f"{place:.100}: {problem}"
            raise CoopetitionError(f"{file} is damaged ({problem:.300}); {remedy}") from error


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: arrays as lists, numbers not finite as null, paths as text."""
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

    Parquet holds the provenance in its metadata under ``coopetition``; a CSV gets a file
    ``NAME.about.json`` beside it.
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
    """The path of a table, if its suffix is ``.csv`` or ``.parquet``; else a `ValueError`."""
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
    error: type[Exception] = LogError,
    passing: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn whatever a parser of other people's files raises into one error of the class ``error``.

    The message names the file, the reason and the remedy; the package's own errors, and those in
    ``passing``, pass unchanged.
    """
    own: tuple[type[Exception], ...] = (CoopetitionError, UnknownNameError, *passing)
    try:
        yield
    except own:
        raise
    except Exception as problem:
        reason = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        if isinstance(problem, RecursionError):
            reason = "it is nested too deep"
        if isinstance(problem, MemoryError):
            reason = "it asks for more memory than there is"
        raise error(f"{path} is a truncated or damaged {kind}: {reason[:200]}; {remedy}") from None


def read_npy(stream: IO[bytes], size: int) -> NDArray[Any]:
    """The ``.npy`` array that begins here in a stream, of which so many bytes are left.

    A `ValueError` where its header is none, its entries are no numbers, or it declares more than is
    there; nothing is allocated before.
    """
    begin = stream.tell()
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array is of .npy version {version}, not 1.0 or 2.0")
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # headers of Python 2, which numpy passes to a tokenizer
        shape, _, dtype = read_header(stream)
    if dtype.kind not in "biuf" or any(length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape} holds {dtype}, not numbers"[:150])
    declared, left = math.prod(shape) * dtype.itemsize, size - (stream.tell() - begin)
    if declared > left:
        raise ValueError(f"an array declares {declared:,} bytes, and {left:,} are there")
    stream.seek(begin)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def require_sizes(archive: zipfile.ZipFile, names: Iterable[str], *, each: int, total: int) -> None:
    """Refuse members of a zip file that unpack to too many bytes, one by one or in all.

    `zipfile` unpacks no more of a member than it declares, so that the declared sizes suffice.
    """
    unpacked = 0
    for name in names:
        size = archive.getinfo(name).file_size
        unpacked += size
        if size > each or unpacked > total:
            raise ValueError(
                f"{name[:80]!r} declares {size:,} bytes, more than {each:,}"
                if size > each
                else f"its members declare more than {total:,} bytes"
            )


def held_data(data: h5py.Dataset) -> h5py.Dataset:
    """An HDF5 data set, unless it lies in other files or declares far more than the file holds."""
    if data.external or data.is_virtual:
        raise LogError(f"{data.file.filename}: {data.name} lies in another file; copy it into it")
    declared, held = data.size * data.dtype.itemsize, data.id.get_storage_size()
    if declared > _LARGEST_RATIO * held + 2**20:
        raise LogError(
            f"{data.file.filename}: {data.name} declares {declared:,} bytes and holds {held:,}; "
            "the file is damaged, restore it"
        )
    return data
