"""Training the papers' transformers and measuring which strategy answers.

The path: `settings` (or a preset of `presets`, or a file, `settings_files`) say what a run is;
`data` makes classes and exemplars, `sequences` and `batches` what is shown of them; `network` and
`step` learn; `evaluators` and `metrics` measure; `loop.train` does it all and leaves a run's folder
(`runs`) with curves that `coopetition fit` reads. What these need has its name here too:

>>> from coopetition.train import preset
>>> preset("cpu-persistent").sequences.match_probability
1.0

Only this package imports torch, and not before a network, a batch or a run is asked for: names are
imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import train
    from .presets import preset, preset_names
    from .settings import TrainingSettings
    from .settings_files import read_settings, with_overrides, write_settings
    from .sweep_run import SweepResult, train_sweep
    from .sweeps import Sweep, make_sweep, read_sweep
    from .trained_run import TrainedRun

_MODULE_OF = {
    "train": "loop",
    "preset": "presets",
    "preset_names": "presets",
    "TrainingSettings": "settings",
    "read_settings": "settings_files",
    "with_overrides": "settings_files",
    "write_settings": "settings_files",
    "SweepResult": "sweep_run",
    "train_sweep": "sweep_run",
    "Sweep": "sweeps",
    "make_sweep": "sweeps",
    "read_sweep": "sweeps",
    "TrainedRun": "trained_run",
}

__all__ = [
    "Sweep",
    "SweepResult",
    "TrainedRun",
    "TrainingSettings",
    "make_sweep",
    "preset",
    "preset_names",
    "read_settings",
    "read_sweep",
    "train",
    "train_sweep",
    "with_overrides",
    "write_settings",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
