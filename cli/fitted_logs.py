"""Runs given as logs, or as fits that lead to the logs they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves_options import SHIPPED, read_logs, require_files

if TYPE_CHECKING:
    from coopetition import Curves
    from coopetition.fitting import Fit
    from coopetition.logs import Columns


def logs_of(sources: tuple[str, ...], columns: Columns | None = None) -> list[Curves]:
    """The runs of fits and logs, each once; a fit is followed to the log it was made from.

    Different logs may hold runs of one name: all are kept. ``columns`` are those of logs; a fit
    knows its own.
    """
    from coopetition.curves.runs import each_once
    from coopetition.fitting import holds_fits, read_fits

    require_files(sources, columns)
    runs: list[Curves] = []
    for source in sources:
        if holds_fits(source):
            runs += [log_behind(fit, source) for fit in read_fits(source)]
        else:
            runs += read_logs([source], columns, run=None)
    return each_once(runs)  # several models may have been fitted to one run


def log_behind(fit: Fit, source: str) -> Curves:
    """The run that a fit in the file ``source`` was made from, read as it was then."""
    from coopetition.errors import LogError
    from coopetition.logs import read_curves

    stated: Mapping[str, Any] = fit.measurements.source
    if "path" not in stated:
        raise ValueError(f"{source} does not say which log run {fit.run} was read from")
    given, columns = Path(str(stated["path"])), stated.get("columns")
    beside = Path(source).parent  # where a log that was named relative to the fit still lies
    places = dict.fromkeys([given, beside / given, beside / given.name])
    shipped = str(given).startswith(SHIPPED)
    logs = [str(given)] if shipped else [str(place) for place in places if place.exists()]
    if not logs:
        raise LogError(
            f"the log of run {fit.run} in {source} is neither at {given} nor beside the fit: put "
            "it there, fit again, or give the log instead of the fit"
        )
    for log in logs:
        runs = read_curves(log, columns=columns)
        if stated.get("sha256") in (None, runs[0].source["sha256"]):
            names = [run.run for run in runs]
            return runs[names.index(fit.run) if len(runs) > 1 else 0]
    raise LogError(
        f"{', '.join(logs)} is not what it was when run {fit.run} in {source} was fitted to it: "
        "fit again, or give the log instead of the fit"
    )
