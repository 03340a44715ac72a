"""Which column of a table holds what: by a user's words, or by the column's name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from ..curves.curve import (
    EVALUATOR_NAMES,
    EVALUATORS,
    METRICS,
    TABLE_COLUMNS,
    headline_metric,
    known_evaluator,
)
from ..errors import unknown_name

Key = tuple[str, str]  # evaluator, metric

_COLUMN = re.compile(
    rf"({'|'.join(sorted(EVALUATOR_NAMES, key=len, reverse=True))})"
    rf"(?:[/_.\- ]({'|'.join(METRICS)}))?"
)
_FACTOR = re.compile(r"(.*\S)\s*\*\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)")
_TIDY = tuple(name for name in TABLE_COLUMNS if name not in ("run", "sequences"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what: one column a curve (wide), or one for all values (tidy).

    Parameters
    ----------
    curves
        Column of each ``(evaluator, metric)`` of a wide table. A ``*`` in it stands for the run's
        name: ``"* - flip"`` finds a curve for each run in a W&B export.
    sem, n
        Columns of standard errors and of numbers of sequences evaluated, likewise.
    sequences
        Column of training sequences seen, or of optimizer steps.
    batch_size
        What ``sequences`` is multiplied by: 1, or the batch size where the column counts steps.
    run
        Column of the run's name, or None.
    tidy
        A tidy table's own names of ``evaluator``, ``metric``, ``value``, ``sem`` and ``n``.
    """

    curves: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    sem: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    n: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    sequences: str = "sequences"
    batch_size: float = 1.0
    run: str | None = None
    tidy: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse_columns(text: str) -> Columns:
    """Read ``flip=colname,icl/loss=other,sequences=step*32``.

    Parameters
    ----------
    text
        Entries ``key=column`` separated by commas. A key is an evaluator (``flip``: its accuracy),
        an evaluator and metric (``flip/loss``), either with ``/sem`` or ``/n`` behind it,
        ``sequences``, ``run``, or a tidy table's ``evaluator``, ``metric``, ``value``, ``sem``,
        ``n``. ``sequences=step*32`` says that the column counts steps of 32 sequences. Double
        quotes keep commas, ``=`` and ``*`` in a column's name: ``flip="acc, flipped"``.

    Raises
    ------
    ValueError
        For an entry that is not ``key=column``, an unknown key, or a key given twice.

    Examples
    --------
    >>> columns = parse_columns("flip=eval/flip,sequences=step*32")
    >>> columns.curves, columns.sequences, columns.batch_size
    ({('flip', 'in_context_acc'): 'eval/flip'}, 'step', 32.0)
    """
    if text.count('"') % 2:
        raise ValueError(f"columns {text!r} have a double quote that is not closed")
    entries: dict[str, str] = {}
    for entry in re.findall(r'(?:[^,"]|"[^"]*")+', text):  # split at commas outside quotes
        key, equals, column = (part.strip() for part in entry.partition("="))
        if not (key and equals and column):
            raise ValueError(f"columns entry {entry!r} is not KEY=COLUMN, such as flip=eval_flip")
        if key in entries:
            raise ValueError(f"columns name {key!r} twice, in {text!r}; keep one")
        entries[key] = column
    return _from_entries(entries)


def columns_from(columns: Columns | Mapping[str, str] | str | None) -> Columns | None:
    """The columns of a text or mapping as in `parse_columns`; others are returned as they are."""
    if columns is None or isinstance(columns, Columns):
        return columns
    return parse_columns(columns) if isinstance(columns, str) else _from_entries(columns)


def entries_of(columns: Columns) -> dict[str, str]:
    """The entries ``key: column`` from which `columns_from` makes these columns."""
    kinds = (("", columns.curves), ("/sem", columns.sem), ("/n", columns.n))
    entries = {
        f"{_curve_name(*key)}{ending}": _quoted(column)
        for ending, curves in kinds
        for key, column in curves.items()
    }
    entries |= {field: _quoted(column) for field, column in columns.tidy.items()}
    if columns.run is not None:
        entries["run"] = _quoted(columns.run)
    times = "" if columns.batch_size == 1 else f"*{float(columns.batch_size)!r}"
    column = columns.sequences
    return {**entries, "sequences": (f'"{column}"' if "*" in column else _quoted(column)) + times}


def _curve_name(evaluator: str, metric: str) -> str:
    plain = evaluator in EVALUATORS and metric == headline_metric(evaluator)
    return evaluator if plain else f"{evaluator}/{metric}"


def _from_entries(entries: Mapping[str, str]) -> Columns:
    """The columns that ``key: column`` entries name."""
    if not entries:
        raise ValueError("columns is empty; name at least one, such as flip=eval_flip")
    kinds: dict[str, dict[Key, str]] = {"curves": {}, "sem": {}, "n": {}}
    tidy: dict[str, str] = {}
    sequences, batch_size, run = "sequences", 1.0, None
    for key, column in entries.items():
        if key == "sequences":
            sequences, batch_size = _sequences(column)
        elif key == "run":
            run = _unquoted(column)
        elif key in _TIDY:
            tidy[key] = _unquoted(column)
        else:
            kind, curve = _curve_key(key)
            kinds[kind][curve] = _unquoted(column)
    for kind in ("sem", "n"):
        for evaluator, metric in kinds[kind].keys() - kinds["curves"].keys():
            raise ValueError(
                f"columns give {evaluator}/{metric}/{kind} without {evaluator}/{metric} itself; "
                f"add {evaluator}/{metric}=COLUMN"
            )
    return Columns(**kinds, sequences=sequences, batch_size=batch_size, run=run, tidy=tidy)


def named_columns(columns: Columns) -> set[str]:
    """The names of the columns, with ``*`` where any run's name may stand."""
    kinds = (columns.curves, columns.sem, columns.n, columns.tidy)
    names = {columns.sequences, columns.run}.union(*(kind.values() for kind in kinds))
    return {name for name in names if name is not None}


def recognised(column: str) -> Key | None:
    """Evaluator and metric that a wide table's column is named after, or None."""
    match = _COLUMN.fullmatch(column.strip().lower())
    if match is None:
        return None
    evaluator = EVALUATOR_NAMES[match[1]]
    return evaluator, match[2] or headline_metric(evaluator)


def _quoted(column: str) -> str:
    """A column so written that `_unquoted` gives it back."""
    return column if _unquoted(column) == column else f'"{column}"'


def _unquoted(column: str) -> str:
    column = column.strip()
    quoted = len(column) > 1 and column.startswith('"') and column.endswith('"')
    return column[1:-1] if quoted else column


def _sequences(column: str) -> tuple[str, float]:
    match = _FACTOR.fullmatch(column.strip())
    if match is None or column.strip().endswith('"'):
        return _unquoted(column), 1.0
    try:
        batch_size = float(match[2])
    except ValueError:  # such as 3.2.1
        batch_size = 0.0
    if batch_size <= 0:
        raise ValueError(
            f"sequences={column}: the batch size must be a positive number, as in sequences=step*32"
        )
    return _unquoted(match[1]), batch_size


def _curve_key(key: str) -> tuple[str, Key]:
    """A key such as ``flip/loss/sem``: its kind (curves, sem or n), evaluator and metric."""
    name, *rest = key.split("/")
    kind = rest.pop() if rest and rest[-1] in ("sem", "n") else "curves"
    evaluator = known_evaluator(name)
    metric = rest[0] if rest else headline_metric(evaluator)
    if evaluator not in EVALUATORS and not rest:  # flop=… is a slip, flop/loss=… a user's own
        raise unknown_name("key in columns", key, [*EVALUATORS, *TABLE_COLUMNS])
    if len(rest) > 1 or not (evaluator and metric):
        raise ValueError(f"columns key {key!r} is not EVALUATOR[/METRIC][/sem|/n]")
    if metric not in METRICS and evaluator in EVALUATORS:
        raise unknown_name("metric in columns", metric, METRICS)
    return kind, (evaluator, metric)
