"""Tables that grow by a few rows at a time and survive being cut off in the middle of one."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...files import write_atomically


def begin_table(path: Path, columns: Sequence[str]) -> None:
    """Write a table of no rows; one column must be ``sequences``."""
    write_atomically(path, ",".join(columns) + "\n")


def append_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Add rows and wait until they are on the disk.

    Raises
    ------
    OSError
        If they cannot be written; a row that was written in part is left for `cut_table`.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())


def cut_table(path: Path, sequences: int) -> None:
    """Drop the rows later than ``sequences``, and one that was written in part."""
    if not path.is_file():
        return
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    columns = next(csv.reader([head]))
    kept = [line for line in lines if row_sequences(line, columns) <= sequences]
    write_atomically(path, "".join([head, *kept]))


def row_sequences(line: str, columns: Sequence[str]) -> float:
    """The ``sequences`` of a line; infinity for one that was written in part."""
    if not line.endswith("\n"):
        return math.inf
    try:
        fields = next(csv.reader([line]))
        complete = len(fields) == len(columns)
        return float(fields[columns.index("sequences")]) if complete else math.inf
    except (ValueError, StopIteration, csv.Error):
        return math.inf
