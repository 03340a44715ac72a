"""CSV files as tables; nothing is interpreted yet."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LogError
from ..files import foreign_parser

if TYPE_CHECKING:
    import pandas as pd

_REMEDY = "is its first line the header, and has every row as many entries?"
DELIMITERS = (",", "\t", ";")
DECIMALS = 4  # what is cut off behind them changes an entry by less than any error of a log
EARLIER = 8  # rows from which one sees how a column is written

_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_POWER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]\d\d")  # two digits at least, as programs write it


def read_text(path: Path) -> str:
    """A text file's content."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path} is neither text, Parquet nor HDF5 (byte {error.start} is not UTF-8); "
            "export the log as CSV, JSONL or Parquet"
        ) from None
    if "\0" in text:
        raise LogError(f"{path} is binary; export the log as CSV, JSONL or Parquet")
    return text


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file with commas, tabs or semicolons, all entries as text.

    Lines that open with ``#`` before the header are left out. So is a last line that may have been
    cut short, as a killed process leaves it, by more than digits beyond the fourth decimal: one
    without a line end whose last entry is not written as those above it. The table's
    ``attrs["notes"]`` say so.
    """
    import pandas as pd

    lines = read_text(path).splitlines(keepends=True)
    if not lines:
        raise LogError(f"{path} is empty; give a log that has been written to")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#")):
        first += 1
    if first == len(lines):
        raise LogError(f"{path} has no header; give a table with named columns")
    header = lines[first]
    delimiter = max(DELIMITERS, key=header.count)
    notes: list[str] = []
    if len(lines) > first + 1 and _may_be_cut(lines[first:], delimiter):
        last = lines.pop().strip()
        notes.append(
            f"line {len(lines) + 1}, the last, has no line end, so that {last[-20:]!r} may be cut "
            "short: left out (if it is whole, end the file with a new line)"
        )
    again = [n for n in range(first + 1, len(lines)) if lines[n].strip() == header.strip()]
    if again:
        shown = ", ".join(str(n + 1) for n in again[:5]) + (", …" if len(again) > 5 else "")
        notes.append(f"line {shown} repeats the header (a resumed logger wrote it): left out")
        lines = [line for n, line in enumerate(lines) if n <= first or n not in set(again)]
    names, repeated = distinct_names(next(csv.reader([header], delimiter=delimiter)))
    with foreign_parser(path, "table", remedy=_REMEDY), warnings.catch_warnings():
        # rows longer than the header are cut with only a warning
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(
            io.StringIO("".join(lines[first + 1 :])),
            sep=delimiter,
            names=names,
            header=None,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
        )
    table.attrs |= {"notes": notes, "repeated": repeated}
    return table


def distinct_names(header: Sequence[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Column names, repeated ones numbered ``NAME (2)``, and the places of repeated ones, from 1.

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
    return names, {name: where for name, where in places.items() if len(where) > 1}


def _may_be_cut(lines: Sequence[str], delimiter: str) -> bool:
    """Whether the last of a table's lines, the header first, may say less than was to be written.

    An entry is whole if it is quoted, has its power of ten, has as many decimals as any above it or
    as matter, or is what all above it are.
    """
    if lines[-1].endswith(("\n", "\r")) or not lines[-1].strip():
        return False
    header, *earlier, last = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    if len(last) < len(header) or lines[-1].count('"') % 2:
        return True
    entry, above = last[-1].strip(), [row[-1].strip() for row in earlier if row]
    if lines[-1].rstrip().endswith('"') or _POWER.fullmatch(entry):
        return False
    if any(_POWER.fullmatch(other) for other in above):
        return True
    decimals, most = _decimals(entry), max(map(_decimals, above), default=0)
    if decimals >= DECIMALS or len(above) < EARLIER:
        return decimals < DECIMALS
    return decimals < most if most else set(above) != {entry}


def _decimals(entry: str) -> int:
    found = _DECIMAL.fullmatch(entry)
    return len(found[1]) if found else 0
