"""Maps on disk: one JSON file each; two ship with the package."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CoopetitionError
from ...files import jsonable, read_stored, write_atomically
from ...settings.covariates import data_kind
from ...settings.names import short_names
from ...version import __version__
from ..theories.theory import parameter_names
from ..theories.toy_model import toy_theory
from .priors import completed, current_priors
from .settings_map import SettingsMap

if TYPE_CHECKING:
    from ...settings.training import TrainingSettings

KIND, FORMAT = "settings map", 2
REMEDY = "calibrate a map anew (coopetition calibrate)"
_DIGITS = 10  # of a number in the file; the optimum itself is known to about five


def save_map(settings_map: SettingsMap, path: str | os.PathLike[str]) -> Path:
    """Write a map.

    Raises
    ------
    ValueError
        If its theory is not a toy model of the catalogue.

    Examples
    --------
    >>> import tempfile
    >>> from coopetition.forecasting.settings_map import default_map, load_map
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_map(save_map(default_map(), f"{folder}/map.json"))
    >>> again.parameters == default_map().parameters
    True
    """
    if settings_map.declared is not None:
        raise ValueError(f"a map of theory {settings_map.theory!r} is of no use without its code")
    content = {"format": f"coopetition {KIND} {FORMAT}", **_stored(settings_map)}
    del content["declared"]
    return write_atomically(path, json.dumps(content, separators=(",", ":")))


def load_map(path: str | os.PathLike[str]) -> SettingsMap:
    """Read a map that `save_map` wrote.

    Raises
    ------
    CoopetitionError
        If the file is missing, damaged, of another format, or was made for other parameters of the
        theory.
    """
    stored = read_stored(path, SettingsMap, kind=KIND, number=FORMAT, remedy=REMEDY)
    try:
        theory = toy_theory(stored.theory)
        priors, new = completed(stored.priors, current_priors(theory))
    except ValueError as error:
        raise CoopetitionError(f"{path} cannot be used ({error}); {REMEDY}") from error
    names = tuple(parameter.name for parameter in stored.priors.parameters)
    if not stored.parameters == names == parameter_names(theory):
        raise CoopetitionError(f"{path} is of other parameters of {theory.name}; {REMEDY}")
    provenance = stored.provenance
    if new:
        note = f"the file held none of {', '.join(new)}; those of version {__version__} were taken"
        provenance = {**provenance, "priors": note}
    return dataclasses.replace(stored, priors=priors, provenance=provenance)


@functools.cache
def default_map() -> SettingsMap:
    """The map calibrated on the published runs.

    Examples
    --------
    >>> "main" in {run.run for run in default_map().runs}
    True
    """
    return _shipped("settings_map.json")


@functools.cache
def small_map() -> SettingsMap:
    """The map calibrated on the small runs of our trainer, ``cpu:*``.

    Examples
    --------
    >>> small_map().kinds
    ('gaussian',)
    """
    return _shipped("small_map.json")


def map_for(settings: Mapping[str, Any] | TrainingSettings) -> SettingsMap:
    """The map whose runs are of the settings' kind of data.

    Runs on Gaussian classes are predicted from the small runs, all others from the published ones.

    Examples
    --------
    >>> map_for({"data_kind": "gaussian"}) is small_map()
    True
    """
    return small_map() if data_kind(short_names(settings)) in small_map().kinds else default_map()


def _shipped(name: str) -> SettingsMap:
    """A map in the package's data."""
    with resources.as_file(resources.files("coopetition.data") / name) as path:
        return load_map(path)


def _stored(value: Any) -> Any:
    """A value as JSON: objects by field, arrays rounded to `_DIGITS` significant digits."""
    if dataclasses.is_dataclass(value):
        return {f.name: _stored(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_stored(part) for part in value]
    if isinstance(value, np.ndarray):
        rounded = [float(f"{number:.{_DIGITS}g}") for number in value.ravel()]
        return np.reshape(rounded, value.shape).tolist()
    return jsonable(value)
