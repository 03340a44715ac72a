"""From training settings to parameters: calibrate a map on runs, and ask it about others.

`calibrate` makes a `SettingsMap` of logs, `map_for` chooses among those that ship with the package
(`default_map`, `small_map`), `save_map` and `load_map` keep one in a file; `SettingsMap.predict`
turns settings into a distribution.
"""

from __future__ import annotations

from ...settings.covariates import COVARIATES, Covariate, covariates
from .calibration import calibrate
from .run_information import RunInformation, VerdictRecord
from .settings_map import SettingsMap
from .storage import default_map, load_map, map_for, save_map, small_map

__all__ = [
    "COVARIATES",
    "Covariate",
    "RunInformation",
    "SettingsMap",
    "VerdictRecord",
    "calibrate",
    "covariates",
    "default_map",
    "load_map",
    "map_for",
    "save_map",
    "small_map",
]
