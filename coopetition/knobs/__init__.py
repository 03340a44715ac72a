"""From training settings to parameters: calibrate a map on runs, and ask it about others.

`calibrate` makes a `KnobMap` of logs, `default_map` is the one that ships with the package,
`save_map` and `load_map` keep one in a file; `KnobMap.predict` turns settings into a distribution.
"""

from __future__ import annotations

import functools
from importlib import resources

from .calibration import calibrate
from .covariates import COVARIATES, Covariate, covariates
from .knob_map import KnobMap
from .run_information import RunInformation, VerdictRecord
from .storage import load_map, map_from_json, save_map

DEFAULT_FILE = "knob_map.json"


@functools.cache
def default_map() -> KnobMap:
    """The map that ships with the package, calibrated on the published runs.

    Examples
    --------
    >>> "main" in {run.run for run in default_map().runs}
    True
    """
    text = (resources.files("coopetition.data") / DEFAULT_FILE).read_text(encoding="utf-8")
    return map_from_json(text, DEFAULT_FILE)


__all__ = [
    "COVARIATES",
    "Covariate",
    "KnobMap",
    "RunInformation",
    "VerdictRecord",
    "calibrate",
    "covariates",
    "default_map",
    "load_map",
    "map_from_json",
    "save_map",
]
