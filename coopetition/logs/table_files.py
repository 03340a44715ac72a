"""CSV, Parquet and JSONL files as tables; nothing is interpreted yet."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LogError

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", "\t", ";")
DECIMALS = 4  # what is cut off behind them changes an entry by less than any error of a log
EARLIER = 8  # rows from which one sees how a column is written

_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_POWER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]\d\d")  # two digits at least, as programs write it


def read_text(path: Path) -> str:
    """A text file's content.

    Raises
    ------
    LogError
        If the file is not UTF-8 text.
    """
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

    Raises
    ------
    LogError
        If a row has more entries than the header, or there is no header.
    """
    import pandas as pd

    lines = read_text(path).splitlines(keepends=True)
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
    try:
        with warnings.catch_warnings():  # rows longer than the header are cut with only a warning
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO("".join(lines[first:])),
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skipinitialspace=True,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise LogError(f"{path} is not a table: {str(error).strip()}") from None
    table.columns = [str(column).strip() for column in table.columns]
    table.attrs["notes"] = notes
    return table


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


def read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet file.

    Raises
    ------
    LogError
        If the file is truncated or damaged.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
        for column in table:  # texts are decoded only when looked at
            table[column].to_numpy()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LogError(f"{path} is a truncated or damaged Parquet file: {reason}") from None
    table.columns = [str(column) for column in table.columns]
    return table


def read_jsonl(path: Path) -> pd.DataFrame:
    """A file of one JSON object a line, or of one JSON list of objects.

    Objects inside objects become columns ``outer/inner``. A last line cut short, as a killed
    process leaves it, is left out; the table's ``attrs["notes"]`` say so.

    Raises
    ------
    LogError
        If another line is not a JSON object.
    """
    import pandas as pd

    text = read_text(path)
    notes: list[str] = []
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except json.JSONDecodeError as error:
            raise LogError(f"{path} is not JSON: {error}") from None
    else:
        records = _lines(path, text, notes)
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise LogError(f"{path}: entry {number} is not a JSON object, such as {{'flip': 0.5}}")
    table = pd.DataFrame([_flat(record) for record in records])
    table.attrs["notes"] = notes
    return table


def _lines(path: Path, text: str, notes: list[str]) -> list[Any]:
    """The JSON value of each line that is not empty."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    records = []
    for number, line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == lines[-1][0] and records:
                notes.append(f"line {number}, the last, is cut short and was left out")
                continue
            raise LogError(f"{path}, line {number}: not JSON ({error.msg}): {line[:60]}") from None
    return records


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as ``outer/inner`` entries."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
