"""Training the papers' transformers and measuring which strategy answers.

Settings (`coopetition.settings`, a preset or a file) describe a run; `data` makes classes and
exemplars, `sequences` draws sequences of them; `network` and `optimisation` learn them through
`compute`; `evaluation` measures; `loop.train` runs it all and leaves a run's `folder` with curves
that `coopetition fit` reads. The names that users need stand here too:

>>> from coopetition.train import preset
>>> preset("cpu-persistent").sequences.match_probability
1.0

Names are imported when first used, so torch is imported only with a network, a batch or a run.
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
    from .loop import TrainedRun, train
    from .sweeps.sweep import Sweep, make_sweep, read_sweep
    from .sweeps.sweep_run import SweepResult, train_sweep

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
        "loop": ["TrainedRun", "train"],
        "sweeps.sweep": ["Sweep", "make_sweep", "read_sweep"],
        "sweeps.sweep_run": ["SweepResult", "train_sweep"],
    },
)
