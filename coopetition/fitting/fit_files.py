"""Fits on disk: one JSON file that holds all of them, what they were fitted to, and how."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CoopetitionError, LogError
from ..files import jsonable, provenance, read_stored, write_atomically
from .joint_fit import Fit
from .parameters import gain_parameters, model_parameters
from .problem import readout_form

KIND, FORMAT = "fits", 2
REMEDY = "fit again with coopetition fit -o"
_BEGINNING = re.compile(rb'\s*\{\s*"format":\s*"coopetition fits')


def write_fits(
    path: str | os.PathLike[str],
    fits: Fit | Iterable[Fit],
    *,
    settings: Mapping[str, Any] | None = None,
    entries: Iterable[Mapping[str, Any]] | None = None,
) -> Path:
    """Write fits as one JSON file, whole or not at all.

    Each entry has the keys of ``fit --json``, and the whole fit under ``fit``.

    Parameters
    ----------
    path, fits
        The file, and one fit or several.
    settings, entries
        What was asked for besides each fit's own settings, and more keys for each fit in turn:
        landmarks, a verdict, ….
    """
    several = [fits] if isinstance(fits, Fit) else list(fits)
    extra = list(entries) if entries is not None else [{} for _ in several]
    content = {
        "format": f"coopetition {KIND} {FORMAT}",
        **provenance(
            "fit",
            settings or {},
            seed=several[0].settings.seed if several else None,
            sources=[fit.measurements.source for fit in several],
        ),
        "fits": [
            json_entry(fit) | dict(more) | {"fit": dataclasses.asdict(fit, dict_factory=_finite)}
            for fit, more in zip(several, extra, strict=True)
        ],
    }
    return write_atomically(path, json.dumps(jsonable(content), indent=1, allow_nan=False))


def read_fits(path: str | os.PathLike[str]) -> tuple[Fit, ...]:
    """Read the fits of a file that `write_fits` wrote.

    Raises
    ------
    LogError
        If the file is missing, damaged, of an older format, or holds no fits.
    """
    try:
        stored = read_stored(path, _File, kind=KIND, number=FORMAT, remedy=REMEDY)
    except CoopetitionError as error:
        raise LogError(str(error)) from error
    for entry in stored.fits:
        if not _fits_together(entry.fit):
            raise LogError(
                f"{path} is damaged (the parts of the fit of {entry.fit.run:.60} do not fit "
                f"together); {REMEDY}"
            )
    return tuple(entry.fit for entry in stored.fits)


def holds_fits(path: str | os.PathLike[str]) -> bool:
    """Whether a file, whatever its name, begins as `write_fits` begins one."""
    file = Path(path).expanduser()
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return _BEGINNING.match(content.read(200)) is not None


def json_entry(fit: Fit) -> dict[str, Any]:
    """The keys that ``fit --json`` promises of every fit."""
    return {
        "run": fit.run,
        "model": fit.model.name,
        "parameters": {
            p.name: {"value": p.value, "lower": p.lower, "upper": p.upper, "status": p.status}
            for p in fit.parameters
        },
        "rmse": fit.rmse,
        "aicc": fit.aicc,
        "bic": fit.bic,
        "starts": [start.cost for start in fit.starts],
        "null_directions": fit.null_directions,
        "warnings": fit.warnings,
        "provenance": fit.provenance,
    }


@dataclasses.dataclass(frozen=True)
class _Entry:
    fit: Fit


@dataclasses.dataclass(frozen=True)
class _File:
    fits: tuple[_Entry, ...]


def _finite(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dataclass's fields without None, inf and NaN: JSON lacks them, and all are defaults."""
    return {
        name: value
        for name, value in fields
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _fits_together(fit: Fit) -> bool:
    """Whether the names and shapes of a fit's parts agree."""
    data, k, grid = fit.measurements, len(fit.free), fit.measurements.sequences
    gains = gain_parameters(fit.model, data.keys, readout_form(fit.settings))
    names = [p.name for p in fit.declared]
    return (
        bool(fit.starts)
        and names == [p.name for p in fit.parameters]
        and set(names) == {p.name for p in (*model_parameters(fit.model, 1.0), *gains)}
        and fit.covariance.shape == (k, k)
        and grid.ndim == 1
        and len(grid) >= 2
        and bool(np.all(np.diff(grid) > 0))
        and [d.key for d in fit.diagnostics] == list(data.keys)
        and all(len(start.theta) == k for start in fit.starts)
        and all(
            target.at.ndim == 1
            and target.at.shape == target.values.shape == target.sigma.shape
            and np.all((target.at >= 0) & (target.at < len(grid)))
            and np.all(target.sigma > 0)
            for target in data.targets
        )
    )
