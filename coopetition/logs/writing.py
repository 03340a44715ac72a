"""Write curves as a tidy table."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

from ..curves.curve import EVALUATORS, Curves, lasting_evaluator, runs_in
from ..files import write_atomically


def write_curves(path: str | os.PathLike[str], curves: Curves | Iterable[Curves]) -> Path:
    """Write one run or several as one tidy table, CSV or Parquet by the path's suffix.

    The table is written beside the path and renamed when complete, so that a reader never meets
    half of it. `read_curves` gives back the same numbers to the last bit.

    Parameters
    ----------
    path
        Where to, ending in ``.csv`` or ``.parquet``; a file there is replaced.
    curves
        A run's curves, or several runs'.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the suffix is another, there is no point to write, two runs have one name, or
        `read_curves` would refuse a run, which has no standard evaluator, or rename an evaluator.
    OSError
        If the file cannot be written.
    """
    import pandas as pd

    path = Path(path).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"path {path} ends in {path.suffix!r}; use .csv or .parquet")
    runs = runs_in(curves)
    tables = [table for table in (run.to_table() for run in runs) if len(table)]
    if not tables:
        raise ValueError(f"curves have no point to write to {path}; give at least one run")
    names = [run.run for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"curves hold {names.count(name)} runs named {name!r}; rename one")
    for run in runs:  # refuse what `read_curves` would not give back
        own = [lasting_evaluator(name) for name in run.evaluators]
        if not set(own) & set(EVALUATORS):
            raise ValueError(
                f"run {run.run} has no evaluator that a log must have (its own: "
                f"{', '.join(own) or 'none'}): add one of {', '.join(EVALUATORS)}"
            )
    table = pd.concat(tables, ignore_index=True)
    if path.suffix == ".csv":
        return write_atomically(path, table.to_csv(index=False))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, write_page_checksum=True)
    return write_atomically(path, buffer.getvalue())
