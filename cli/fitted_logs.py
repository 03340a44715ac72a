"""Runs given as logs, or as fits that lead to the logs they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves_options import read_logs, require_files

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
    from coopetition.fitting import read_fits

    require_files(sources, columns)
    runs: list[Curves] = []
    for source in sources:
        if source.endswith(".json"):
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
    place, columns = log_place(str(stated["path"])), stated.get("columns")
    runs = read_curves(place, columns=columns)
    if "sha256" in stated and runs[0].source["sha256"] != stated["sha256"]:
        raise LogError(
            f"{stated['path']} is not what it was when run {fit.run} in {source} was fitted to it: "
            "fit again, or give the log instead of the fit"
        )
    return runs[0] if len(runs) == 1 else read_curves(place, columns=columns, run=fit.run)[0]


def log_place(path: str) -> str:
    """A run's folder where the log is the one read there, beside settings; else the log itself."""
    from coopetition.logs.reading import FOLDER_LOGS

    file = Path(path)
    first = next((name for name in FOLDER_LOGS if (file.parent / name).is_file()), None)
    is_run = file.is_file() and first == file.name and (file.parent / "settings.yaml").exists()
    return str(file.parent) if is_run else path
