"""JSON files as tables: an object a line, a list of objects, or an object of lists.

Nothing is interpreted yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LogError
from ..files import foreign_parser
from .csv_table import read_text

if TYPE_CHECKING:
    import pandas as pd

HISTORY = "log_history"  # where Hugging Face's trainer_state.json keeps its records
DEEPEST = 20  # objects within objects


def read_json(path: Path) -> pd.DataFrame:
    """A file of JSON records.

    One object a line (JSONL), a list of objects, an object of equally long lists, or an object
    with such a list under ``log_history``, as Hugging Face's ``trainer_state.json`` has. Objects
    inside records become columns ``outer/inner``. A last line cut short, as a killed process leaves
    it, is left out; the table's ``attrs["notes"]`` say so.
    """
    import pandas as pd

    text = read_text(path)
    notes: list[str] = []
    with foreign_parser(path, "JSON file"):
        records = _records(path, text, notes)
        for number, record in enumerate(records, 1):
            if not isinstance(record, Mapping):
                raise LogError(
                    f"{path}: entry {number} is not a JSON object, such as {{'flip': 0.5}}"
                )
        table = pd.DataFrame([_flat(record, path) for record in records])
    table.attrs["notes"] = notes
    return table


def _records(path: Path, text: str, notes: list[str]) -> list[Any]:
    """The records of a file in any of the forms."""
    first = _parsed(text.lstrip().splitlines()[0])
    if isinstance(first, Mapping) and not _is_table(first):
        return _lines(path, text, notes)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise LogError(f"{path} is not JSON: {error}") from None
    if isinstance(content, list):
        return content
    if isinstance(content.get(HISTORY), list):
        return list(content[HISTORY])
    if _is_table(content):
        lists = {name: column for name, column in content.items() if isinstance(column, list)}
        longest = max(map(len, lists.values()))
        kept = {name: column for name, column in lists.items() if len(column) == longest}
        left_out = [name for name in content if name not in kept]
        if left_out:
            notes.append(f"entries not read: {', '.join(left_out[:20])}")
        return [dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True)]
    if any(isinstance(value, Mapping | list) for value in content.values()):
        raise LogError(
            f"{path} is a JSON object of {', '.join(map(str, list(content)[:10]))}: give records, "
            f"as a list of objects, one object a line, equally long lists, or under {HISTORY}"
        )
    return [content]


def _parsed(line: str) -> Any:
    """What a line holds, None where it is no JSON by itself."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


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


def _flat(
    record: Mapping[str, Any], path: Path, prefix: str = "", depth: int = 0
) -> dict[str, Any]:
    """Nested objects as ``outer/inner`` entries."""
    if depth > DEEPEST:
        raise LogError(f"{path}: objects lie more than {DEEPEST} deep in each other; flatten them")
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, path, f"{prefix}{key}/", depth + 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat
