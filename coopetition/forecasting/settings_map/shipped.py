"""The maps that ship with the package, and which of them is for whom."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from ...settings.covariates import data_kind
from ...settings.names import short_names
from .settings_map import SettingsMap
from .storage import load_map

if TYPE_CHECKING:
    from ...settings.training import TrainingSettings


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
