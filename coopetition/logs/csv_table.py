"""CSV files as tables, not yet interpreted, and the lines of text files."""

from __future__ import annotations

import csv
import io
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..curves.curve import TABLE_COLUMNS
from ..errors import LogError
from ..files import foreign_parser
from .columns import Columns, named_columns, recognised

if TYPE_CHECKING:
    import pandas as pd

_REMEDY = "is its first line the header, and has every row as many entries?"
DELIMITERS = (",", "\t", ";")
DECIMALS = 4  # digits behind them are smaller than any error of a log
BLOCK = 50_000  # lines parsed at once
LARGE = 64 * 2**20  # bytes of a file of which only useful columns are kept
FEW_LABELS = 100  # most distinct entries of a column that may tell runs apart
EARLIER = 8  # fewest rows that show how a column is written

_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_POWER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]\d\d")  # two digits at least, as programs write it


def read_csv(path: Path, columns: Columns | None = None) -> pd.DataFrame:
    """A CSV file with commas, tabs or semicolons: numbers where all entries are, text elsewhere.

    Left out are lines that open with ``#`` before the header, and a last line that a killed process
    may have cut short: one without a line end whose last entry is not written as those above it.
    The table's ``attrs["notes"]`` say so. Of a large file only columns that are read, or may tell
    runs apart, are kept.
    """
    import pandas as pd

    notes: list[str] = []
    blocks: list[dict[str, Any]] = []
    names: list[str] = []
    repeated: dict[str, list[int]] = {}
    chosen: list[int] | None = None  # places of the columns to keep
    delimiter = ","
    for begin, lines in _blocks_of_lines(path):
        if not blocks:
            delimiter = max(DELIMITERS, key=lines[0].count)
            names, repeated = distinct_names(next(csv.reader([lines[0]], delimiter=delimiter)))
        if not lines[-1].endswith(("\n", "\r")) and _may_be_cut(lines, delimiter):
            last = lines.pop().strip()
            notes.append(
                f"line {begin + len(lines) - 1}, the last, has no line end, so {last[-20:]!r} may "
                "be cut short: left out (if it is whole, end the file with a new line)"
            )
        header, rows = lines[0].strip(), lines[1:]
        again = [begin + n for n, line in enumerate(rows) if line.strip() == header]
        if again:
            numbers = ", ".join(map(str, again[:5])) + (", …" if len(again) > 5 else "")
            notes.append(f"line {numbers} repeats the header (a resumed logger wrote it): left out")
            rows = [line for line in rows if line.strip() != header]
        with foreign_parser(path, "table", remedy=_REMEDY), warnings.catch_warnings():
            # rows longer than the header are cut with only a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            block = pd.read_csv(
                io.StringIO("".join(rows)),
                sep=delimiter,
                names=names,
                header=None,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skipinitialspace=True,
            )
        if chosen is None:
            large = path.stat().st_size > LARGE
            chosen = _useful_columns(block, columns) if large else list(range(len(names)))
        blocks.append(_compact(block.iloc[:, chosen], columns))
    table = pd.DataFrame(_joined(blocks), copy=False)
    table.attrs |= {"notes": notes, "repeated": repeated}
    return table


def lines_of_text(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, read one by one."""
    with path.open("rb") as start:
        encoding = "utf-16" if start.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        with path.open(encoding=encoding, newline="") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise LogError(f"{path} is binary; export the log as CSV, JSONL or Parquet")
                yield number, line
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path} is neither text, Parquet nor HDF5 (byte {error.start} is not UTF-8); "
            "export the log as CSV, JSONL or Parquet"
        ) from None


def _blocks_of_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Blocks of rows, each below the header, and the line number of its first row."""
    lines = lines_of_text(path)
    content = ((n, line) for n, line in lines if line.strip() and not line.startswith("#"))
    begin, header = next(content, (0, ""))
    if not header:
        raise LogError(f"{path} has no header; give a table with named columns")
    begin += 1
    rows = [line for _, line in itertools.islice(lines, BLOCK)]
    while True:  # a header without rows is a block too
        yield begin, [header, *rows]
        begin += BLOCK
        rows = [line for _, line in itertools.islice(lines, BLOCK)]
        if not rows:
            return


def _useful_columns(block: pd.DataFrame, columns: Columns | None) -> list[int]:
    """Places of the columns that are read, or may tell runs apart."""
    named = set() if columns is None else named_columns(columns)
    return [
        place
        for place, name in enumerate(block.columns)
        if name in TABLE_COLUMNS
        or recognised(name) is not None
        or any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), name) for each in named)
        or block[name].nunique() <= FEW_LABELS
    ]


def _compact(block: pd.DataFrame, columns: Columns | None) -> dict[str, Any]:
    """Columns of numbers as exact floats; the others as categories, each text stored once."""
    names = {"run", "evaluator", "metric"}
    if columns is not None:
        names |= {columns.run or "run", *columns.tidy.values()} - {columns.tidy.get("value")}
    compact: dict[str, Any] = {}
    for name in block.columns:
        try:
            numbers = None if name in names else block[name].to_numpy().astype(np.float64)
        except (ValueError, OverflowError):
            numbers = None
        compact[name] = block[name].astype("category").array if numbers is None else numbers
    return compact


def _joined(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """The blocks' columns below each other: of numbers where all blocks are, else of texts."""
    from pandas.api.types import union_categoricals

    if len(blocks) == 1:
        return blocks[0]
    joined: dict[str, Any] = {}
    for name in list(blocks[0]):
        parts = [block.pop(name) for block in blocks]
        if all(isinstance(part, np.ndarray) for part in parts):
            joined[name] = np.concatenate(parts)
        else:
            joined[name] = union_categoricals([_texts(part) for part in parts])
    return joined


def _texts(part: Any) -> Any:
    import pandas as pd

    return pd.Categorical(list(map(repr, part.tolist()))) if isinstance(part, np.ndarray) else part


def distinct_names(header: Sequence[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Column names, repeated ones as ``NAME (2)``, and the places (from 1) of repeated ones.

    Examples
    --------
    >>> distinct_names(["step", "flip", "flip"])
    (['step', 'flip', 'flip (2)'], {'flip': [2, 3]})
    """
    places: dict[str, list[int]] = {}
    names = []
    for place, name in enumerate((str(entry).strip() for entry in header), 1):
        places.setdefault(name, []).append(place)
        count = len(places[name])
        names.append(name if count == 1 else f"{name} ({count})")
    return names, {name: repeats for name, repeats in places.items() if len(repeats) > 1}


def _may_be_cut(lines: Sequence[str], delimiter: str) -> bool:
    """Whether the last of a table's lines (the header is the first) may be cut short.

    An entry is whole if it is quoted, has its power of ten, has as many decimals as any above it or
    as matter, or equals all above it.
    """
    if len(lines) < 2 or not lines[-1].strip():
        return False
    header, *rows, last = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    if len(last) < len(header) or lines[-1].count('"') % 2:
        return True
    entry, above = last[-1].strip(), [row[-1].strip() for row in rows if row]
    if lines[-1].rstrip().endswith('"') or _POWER.fullmatch(entry):
        return False
    if any(_POWER.fullmatch(other) for other in above):
        return True
    decimals, most = _decimals(entry), max(map(_decimals, above), default=0)
    if decimals >= DECIMALS or len(above) < EARLIER:
        return decimals < DECIMALS
    return decimals < most if most else set(above) != {entry}


def _decimals(entry: str) -> int:
    match = _DECIMAL.fullmatch(entry)
    return len(match[1]) if match else 0
