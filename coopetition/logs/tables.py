"""Tables, tidy or wide, as raw curves by run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import EVALUATORS, headline_metric, known_evaluator
from ..errors import LogError, unknown_name
from .columns import Columns, Key, recognised
from .restarts import RawCurve, RawRun

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "-", "<na>"})
TIDY = ("evaluator", "metric", "value")


def raw_runs(table: pd.DataFrame, columns: Columns | None, *, name: str) -> list[RawRun]:
    """The runs in a table, tidy or wide.

    A tidy table has the columns ``evaluator, metric, sequences, value`` (and ``run, sem, n``), a
    wide one ``sequences`` and a column a curve, such as ``flip`` or ``flip/loss``. ``columns``
    gives other names.
    """
    if table.empty:
        raise LogError(f"{name}: the table has no rows; give a log that has been written to")
    if columns is None:
        tidy = set(TIDY) <= set(table.columns)
        columns = Columns(run="run" if "run" in table.columns else None)
    else:
        tidy = bool(columns.tidy) or (not columns.curves and set(TIDY) <= set(table.columns))
        if tidy and columns.run is None and "run" in table.columns:
            columns = dataclasses.replace(columns, run="run")
    _need(table, columns.sequences, "sequences")
    _refuse_repeated(table, columns.sequences)
    if columns.run is not None:
        _need(table, columns.run, "run")
    return list(_tidy(table, columns, name) if tidy else _wide(table, columns, name))


def _tidy(table: pd.DataFrame, columns: Columns, name: str) -> Iterator[RawRun]:
    """Runs in a table of one row a value; without a column of metrics the evaluator tells it."""
    own = {field: columns.tidy.get(field, field) for field in (*TIDY, "sem", "n")}
    present = {f for f, column in own.items() if f in columns.tidy or column in table.columns}
    for field in ("evaluator", "value", *sorted(present)):
        _need(table, own[field], field)
    numbers = {
        "sequences": _sequences(table, columns),
        "values": _numbers(table, own["value"]),
        **{field: _numbers(table, own[field]) for field in present & {"sem", "n"}},
    }
    tags, tag_of = _labels(table, own["evaluator"])
    metrics, metric_of = _labels(table, own["metric"]) if "metric" in present else ([""], None)
    kinds = tag_of if metric_of is None else tag_of * len(metrics) + metric_of
    unread = _unread(table, {columns.sequences, columns.run, *(own[field] for field in present)})
    for run, rows in _by_run(table, columns, name):
        curves: list[RawCurve] = []
        renamed: dict[str, str] = {}
        for kind, members in _groups(kinds[rows]):
            tag = tags[kind // len(metrics)]
            key = (known_evaluator(tag), metrics[kind % len(metrics)])
            if metric_of is None:
                key = recognised(tag) or (tag, headline_metric(tag))
            at = rows[members]
            arrays = {field: values[at] for field, values in numbers.items()}
            for field in ("sem", "n"):
                if field in arrays and not np.isfinite(arrays[field]).any():
                    del arrays[field]
            curves.append(RawCurve(evaluator=key[0], metric=key[1], rows=at, **arrays))
            renamed |= {tag: key[0]} if tag != key[0] else {}
        notes = tuple(f"evaluator {old} was read as {new}" for old, new in renamed.items())
        yield RawRun(name=run, curves=tuple(curves), notes=notes, unread=unread)


def _wide(table: pd.DataFrame, columns: Columns, name: str) -> Iterator[RawRun]:
    """Runs in a table of one column a curve."""
    for places in _runs_in_columns(table, columns):
        used = (*places.curves.values(), *places.sem.values(), *places.n.values())
        unread = _unread(table, {columns.sequences, columns.run, *used})
        for run, rows in _by_run(table, columns, name if places.run is None else places.run):
            sequences = _sequences(table, columns)[rows]
            curves = tuple(
                RawCurve(
                    evaluator=key[0],
                    metric=key[1],
                    sequences=sequences,
                    values=_numbers(table, column)[rows],
                    sem=_numbers(table, places.sem[key])[rows] if key in places.sem else None,
                    n=_numbers(table, places.n[key])[rows] if key in places.n else None,
                    rows=rows,
                )
                for key, column in places.curves.items()
            )
            # rows in which no curve has a value log something else
            present = np.any([np.isfinite(curve.values) for curve in curves], axis=0)
            curves = tuple(curve.take(present) for curve in curves)
            yield RawRun(name=run, curves=curves, notes=places.notes, unread=unread)


def _unread(table: pd.DataFrame, read: Collection[str | None]) -> pd.DataFrame:
    """The columns that are not read, which may still tell runs apart."""
    return table[[column for column in table.columns if column not in read]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _RunColumns:
    """The columns of one run in a wide table; its name is None where columns do not hold it."""

    run: str | None
    curves: Mapping[Key, str]
    sem: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    n: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _runs_in_columns(table: pd.DataFrame, columns: Columns) -> list[_RunColumns]:
    """The columns of each run: those the user names, or those named after evaluators."""
    if not columns.curves:
        return [_named_columns(table, columns)]
    present = [str(column) for column in table.columns]
    starred = [c for c in columns.curves.values() if "*" in c and c not in present]
    if not starred:
        for key, column in {**columns.n, **columns.sem, **columns.curves}.items():
            _need(table, column, "/".join(key))
            _refuse_repeated(table, column)
        return [_RunColumns(run=None, curves=columns.curves, sem=columns.sem, n=columns.n)]
    before, _, after = starred[0].partition("*")
    form = re.compile(rf"{re.escape(before)}(.+){re.escape(after)}( \(\d+\))?")
    matches = [match for column in present if (match := form.fullmatch(column))]
    if not matches:
        raise unknown_name("column", starred[0], present)
    runs = []
    for match in matches:
        run, again = match[1], match[2] or ""
        curves, sem, n = (
            {key: column.replace("*", run) + again for key, column in kind.items()}
            for kind in (columns.curves, columns.sem, columns.n)
        )
        for key, column in (*curves.items(), *sem.items(), *n.items()):
            _need(table, column, "/".join(key))
        notes = (f"several columns are named {next(iter(curves.values()))!r}",) if again else ()
        runs.append(_RunColumns(run=run + again, curves=curves, sem=sem, n=n, notes=notes))
    return runs


def _named_columns(table: pd.DataFrame, columns: Columns) -> _RunColumns:
    """The columns that are named after evaluators."""
    present = [str(column) for column in table.columns]
    column_of: dict[Key, str] = {}
    for column in present:
        key = recognised(column)
        if key is None:
            continue
        name = "/".join(key)
        if key in column_of:
            raise LogError(
                f"columns {column_of[key]!r} and {column!r} both seem to hold {name}; "
                f"say which does: --columns {name}={column}"
            )
        column_of[key] = column
        _refuse_repeated(table, column)
    if not column_of:
        raise LogError(
            f"no evaluator among the columns {', '.join(present[:20])}: a table has the "
            "columns run, evaluator, metric, sequences, value, or sequences and columns named "
            f"{', '.join(EVALUATORS)}; if others hold the accuracies, say which: "
            "--columns flip=COLUMN,icl=COLUMN,sequences=COLUMN"
        )
    read = (*column_of.values(), columns.sequences, columns.run)
    unread = [column for column in present if column not in read]
    renamed = {column: "/".join(key) for key, column in column_of.items()}
    notes = [f"column {c!r} was read as {name}" for c, name in renamed.items() if c != name]
    notes += [f"columns not read: {', '.join(unread[:20])}"] if unread else []
    return _RunColumns(run=None, curves=column_of, notes=tuple(notes))


def _by_run(
    table: pd.DataFrame, columns: Columns, name: str
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each run's name and the indices of its rows."""
    if columns.run is None:
        yield name, np.arange(len(table))
        return
    runs, run_of = _labels(table, columns.run)
    if np.all(run_of == run_of[0]):
        yield runs[run_of[0]] or name, np.arange(len(table))
        return
    for run, rows in _groups(run_of):
        yield runs[run] or name, rows


def _groups(codes: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each distinct code, in order of appearance, and its indices."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    for members in sorted(groups, key=lambda indices: int(indices[0])):
        yield int(codes[members[0]]), members


def _sequences(table: pd.DataFrame, columns: Columns) -> NDArray[np.float64]:
    numbers = _numbers(table, columns.sequences)
    return numbers if columns.batch_size == 1 else numbers * columns.batch_size


def _numbers(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as float64, NaN where it is empty; a text becomes its nearest float."""
    series = table[column]
    if series.dtype.kind in "biuf":
        return series.to_numpy().astype(np.float64, copy=False)
    categories, codes = _categories(series)  # each distinct text is read once
    numbers, wrong = np.full(len(categories) + 1, np.nan), []
    for place, text in enumerate(categories):
        if text.lower() not in MISSING:
            try:
                numbers[place] = float(text)
            except ValueError:
                wrong.append(place)
    if wrong:
        row = int(np.argmax(np.isin(codes, wrong)))
        raise LogError(
            f"column {column!r}, row {row + 1}: {categories[codes[row]][:40]!r} is not a number; "
            "remove units and per cent signs, write decimals with a point, or name another column "
            "with --columns"
        )
    return np.asarray(numbers[codes])


def _labels(table: pd.DataFrame, column: str) -> tuple[list[str], NDArray[Any]]:
    """The distinct names in a column ("" for none), and the place of each row's name."""
    categories, codes = _categories(table[column])
    names = {text: place for place, text in enumerate(dict.fromkeys([*categories, ""]))}
    places = np.array([names[text] for text in [*categories, ""]], dtype=np.int32)
    return list(names), np.asarray(places[codes])


def _categories(series: pd.Series) -> tuple[list[str], NDArray[Any]]:
    """The distinct texts of a column, and the place of each row's text, -1 for none."""
    try:
        categorical = series.astype("category").cat
    except TypeError:  # lists and the like, which are not even names
        categorical = series.map(str).astype("category").cat
    texts = [str(category).strip() for category in categorical.categories]
    return texts, np.asarray(categorical.codes)


def _need(table: pd.DataFrame, column: str, what: str) -> None:
    """Raise if the table has no such column for ``what``."""
    present = [str(name) for name in table.columns]
    if column in present:
        return
    if column == what:  # the default, not the user's
        steps = [c for c in present if c.lower() in ("step", "_step", "iteration", "iter", "steps")]
        example = f"{steps[0]}*BATCH_SIZE" if steps and what == "sequences" else "COLUMN"
        raise LogError(
            f"no column {what!r} among {', '.join(present[:20])}; say which it is: "
            f"--columns {what}={example}"
        )
    raise unknown_name(f"column for {what}", column, present)


def _refuse_repeated(table: pd.DataFrame, column: str) -> None:
    """Raise if the file has several columns of that name."""
    places = table.attrs.get("repeated", {}).get(column)
    if places:
        raise LogError(
            f"columns {' and '.join(map(str, places))} are all named {column!r}; rename them in "
            "the file, or name the right one under another name"
        )
