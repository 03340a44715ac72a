"""Training the papers' transformers and measuring which strategy answers.

The path: settings (`coopetition.settings`, or a preset, or a file) say what a run is; `data` makes
classes and exemplars, `sequences` what is shown of them; `network` and `optimisation` learn, as
`compute` computes it; `evaluation` measures; `loop.train` does it all and leaves a run's `folder`
with curves that `coopetition fit` reads. What these need has its name here too:

>>> from coopetition.train import preset
>>> preset("cpu-persistent").sequences.match_probability
1.0

Only this package imports torch, and not before a network, a batch or a run is asked for: names are
imported when first used.
"""

from typing import TYPE_CHECKING

import lazy_loader

from ..settings import (
    TrainingSettings,
    preset,
    preset_names,
    read_settings,
    with_overrides,
    write_settings,
)

if TYPE_CHECKING:
    from .loop import train
    from .sweeps.sweep import Sweep, make_sweep, read_sweep
    from .sweeps.sweep_run import SweepResult, train_sweep
    from .trained_run import TrainedRun

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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loop": ["train"],
        "sweeps.sweep": ["Sweep", "make_sweep", "read_sweep"],
        "sweeps.sweep_run": ["SweepResult", "train_sweep"],
        "trained_run": ["TrainedRun"],
    },
)
