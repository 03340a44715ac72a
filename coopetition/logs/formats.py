"""The formats of logs: how each is recognised by its contents, and what reads it.

A reader takes the file, the columns as the user names them, and a name for a run without one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LogError
from ..files import foreign_parser
from .columns import Columns
from .csv_table import read_csv
from .json_table import read_json
from .parquet_table import read_parquet
from .reference_log import raw_reference_run
from .restarts import RawRun
from .tables import raw_runs
from .tensorboard_log import MARK, read_events

if TYPE_CHECKING:
    import pandas as pd

HEAD = 4096  # bytes by which a format is recognised
BOM = b"\xef\xbb\xbf"  # of UTF-8
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
LARGEST = 8 * 2**30  # bytes of a log that was compressed
RATIO = 1000  # by which text shrinks at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class RawLog:
    """The content of a log: its runs, notes, and settings where the format holds them."""

    runs: list[RawRun]
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None


Reader = Callable[[Path, Columns | None, str], RawLog]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """One format of logs."""

    name: str
    recognise: Callable[[bytes], bool]  # from the file's first bytes
    read: Reader


def _table(read: Callable[[Path, Columns | None], pd.DataFrame]) -> Reader:
    """The reader of a format that holds one table."""

    def reader(path: Path, columns: Columns | None, name: str) -> RawLog:
        table = read(path, columns)
        notes = tuple(table.attrs.get("notes", ()))
        return RawLog(runs=raw_runs(table, columns, name=name), notes=notes)

    return reader


def _reference(path: Path, columns: Columns | None, name: str) -> RawLog:
    run, settings = raw_reference_run(path, columns)
    return RawLog(runs=[run], settings=settings)


def events_log(files: Sequence[Path], columns: Columns | None, name: str) -> RawLog:
    """The one run in some TensorBoard event files."""
    table = read_events(files, columns)
    return RawLog(runs=raw_runs(table, columns, name=name), notes=tuple(table.attrs["notes"]))


FORMATS = (
    Format(
        name="hdf5", recognise=lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"), read=_reference
    ),
    Format(
        name="parquet", recognise=lambda head: head.startswith(b"PAR1"), read=_table(read_parquet)
    ),
    Format(
        name="tensorboard",
        recognise=lambda head: MARK in head[:64],
        read=lambda path, columns, _: events_log([path], columns, path.resolve().parent.name),
    ),
    Format(
        name="jsonl",
        recognise=lambda head: head.removeprefix(BOM).lstrip().startswith((b"{", b"[")),
        read=_table(read_json),
    ),
    Format(name="csv", recognise=lambda head: True, read=_table(read_csv)),
)


def format_of(path: Path) -> Format:
    """The format of a file, by its first bytes."""
    if not path.exists():
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise LogError(f"no file {path}{hint}")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from None
    if not head.strip():
        raise LogError(f"{path} is empty; give a log that has been written to")
    if head.startswith(b"PK\x03\x04"):
        raise LogError(f"{path} is a zip archive; unpack it first")
    return next(each for each in FORMATS if each.recognise(head))


@contextlib.contextmanager
def uncompressed(path: Path) -> Iterator[Path]:
    """The file itself or, of a gzip or zstd file, a temporary one with its content."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4)
    kind = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
    if kind is None:
        yield path
        return
    import pyarrow

    most = min(LARGEST, RATIO * path.stat().st_size + HEAD)
    with tempfile.TemporaryDirectory(prefix="coopetition-") as folder:
        inside = Path(folder) / path.stem
        with (
            foreign_parser(path, f"{kind} file"),
            pyarrow.CompressedInputStream(str(path), kind) as content,
            inside.open("wb") as file,
        ):
            while block := content.read(2**20):
                file.write(block)
                if file.tell() > most:
                    raise LogError(
                        f"{path} unpacks to over {most:,} bytes, far more than a log of its size; "
                        "unpack it yourself if it is one"
                    )
        yield inside
