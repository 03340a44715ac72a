"""JSON files as tables, not yet interpreted."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import LogError
from ..files import foreign_parser
from .columns import Columns
from .csv_table import lines_of_text

if TYPE_CHECKING:
    import pandas as pd

Column: TypeAlias = "array[float] | list[Any]"

HISTORY = "log_history"  # where Hugging Face's trainer_state.json keeps its records
DEEPEST = 20  # most levels of nested objects


def read_json(path: Path, columns: Columns | None = None) -> pd.DataFrame:
    """A JSON file: an object a line, a list of objects, or an object of equally long lists.

    A list may stand under ``log_history``, as in Hugging Face's ``trainer_state.json``. Objects in
    records become columns ``outer/inner``. A last line cut short is left out and noted in
    ``attrs["notes"]``.
    """
    import pandas as pd

    notes: list[str] = []
    columns_read: dict[str, Column] = {}
    with foreign_parser(path, "JSON file"):
        for number, record in enumerate(_records(path, notes)):
            if not isinstance(record, Mapping):
                raise LogError(
                    f"{path}: entry {number + 1} is not a JSON object, such as {{'flip': 0.5}}"
                )
            _add(columns_read, number, _flat(record, path))
        rows = max(map(len, columns_read.values()), default=0)
        for column in columns_read.values():
            _pad(column, rows)
        table = pd.DataFrame(
            {k: np.asarray(v) if isinstance(v, array) else v for k, v in columns_read.items()}
        )
    table.attrs["notes"] = notes
    return table


def _add(columns: dict[str, Column], row: int, record: Mapping[str, Any]) -> None:
    """Add a record to its columns, which are of floats while all their entries are."""
    for name, value in record.items():
        number = isinstance(value, float | int) and not isinstance(value, bool)
        column = columns.setdefault(name, array("d") if number else [])
        if isinstance(column, array) and not number:
            column = columns[name] = [None if math.isnan(v) else v for v in column]
        _pad(column, row)
        column.append(float(value) if isinstance(column, array) else value)


def _pad(column: Column, rows: int) -> None:
    """Make a column that many rows long."""
    missing: Any = math.nan if isinstance(column, array) else None
    column.extend([missing] * (rows - len(column)))


def _records(path: Path, notes: list[str]) -> Iterator[Any]:
    """The records of a file in any of the forms."""
    lines = lines_of_text(path)
    head = next((line for _, line in lines if line.strip()), "")
    try:
        first = json.loads(head)
    except json.JSONDecodeError:
        first = None
    if isinstance(first, Mapping) and not _is_table(first):
        yield first
        yield from _later_records(path, lines, notes)
        return
    try:
        content = json.loads("".join(line for _, line in lines_of_text(path)))
    except json.JSONDecodeError as error:
        raise LogError(f"{path} is not JSON: {error}") from None
    if isinstance(content, list):
        yield from content
    elif isinstance(content.get(HISTORY), list):
        yield from content[HISTORY]
    elif _is_table(content):
        lists = {name: column for name, column in content.items() if isinstance(column, list)}
        longest = max(map(len, lists.values()))
        columns = {name: column for name, column in lists.items() if len(column) == longest}
        unread = [name for name in content if name not in columns]
        if unread:
            notes.append(f"entries not read: {', '.join(unread[:20])}")
        rows = zip(*columns.values(), strict=True)
        yield from (dict(zip(columns, row, strict=True)) for row in rows)
    elif any(isinstance(value, Mapping | list) for value in content.values()):
        raise LogError(
            f"{path} is a JSON object of {', '.join(map(str, list(content)[:10]))}: give records, "
            f"as a list of objects, one object a line, equally long lists, or under {HISTORY}"
        )
    else:
        yield content


def _later_records(path: Path, lines: Iterator[tuple[int, str]], notes: list[str]) -> Iterator[Any]:
    """The value of each line after the first; a last line that is no JSON is left out."""
    broken: tuple[int, str, str] | None = None
    for number, line in lines:
        if broken is not None and line.strip():
            raise LogError(f"{path}, line {broken[0]}: not JSON ({broken[1]}): {broken[2][:60]}")
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                broken = (number, error.msg, line.strip())
    if broken is not None:
        notes.append(f"line {broken[0]}, the last, is cut short and was left out")


def _is_table(content: Any) -> bool:
    """Whether an object holds columns: several lists of numbers, of the same length."""
    if not isinstance(content, Mapping):
        return False
    lengths = [
        len(column)
        for column in content.values()
        if isinstance(column, list) and not any(isinstance(v, Mapping | list) for v in column)
    ]
    return len(lengths) >= 2 and lengths.count(max(lengths)) >= 2


def _flat(
    record: Mapping[str, Any], path: Path, prefix: str = "", depth: int = 0
) -> dict[str, Any]:
    """Nested objects as ``outer/inner`` entries."""
    if depth > DEEPEST:
        raise LogError(f"{path}: objects are nested more than {DEEPEST} deep; flatten them")
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, path, f"{prefix}{key}/", depth + 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat
