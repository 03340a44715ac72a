"""Runs of seconds, and how to break one off."""

import signal

import numpy as np

from coopetition.settings.training import TrainingSettings
from coopetition.train.folder.run_folder import CURVES, EVALUATIONS, MEASURES
from coopetition.train.loop import train

BATCH = 4


def small(name="small", seed=0, **sections):
    """A run of 60 steps that takes a fraction of a second."""
    given = {
        "data": {"n_classes": 12, "n_exemplars": 3, "dim": 4},
        "network": {"width": 8, "heads": 2},
        "optimisation": {"batch_size": BATCH, "lr": 1e-2},
        "evaluation": {"n_sequences": 20, "every": 40},
        "run": {"sequences": 240, "checkpoint_every": 60, "block": 7, "seed": seed},
    }
    for section, values in sections.items():
        given[section] = {**given.get(section, {}), **values}
    return TrainingSettings(name=name, **given)


def go(settings, folder, **more):
    return train(settings, folder, device="cpu", progress=False, **more)


def everything(folder):
    """Curves and per-sequence values, byte for byte (archives by content)."""
    tables = (path for path in (folder / CURVES, folder / MEASURES) if path.exists())
    content = {path.name: path.read_bytes() for path in tables}
    for path in sorted((folder / EVALUATIONS).glob("*.npz")):
        with np.load(path) as arrays:
            content[path.name] = {name: arrays[name].tobytes() for name in arrays.files}
    return content


def files_of(folder):
    """The content of every file in a folder, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class StopAt:
    """An observer that interrupts a run, as Ctrl-C would, when it has seen enough."""

    def __init__(self, sequences):
        self.sequences = sequences
        self.notes = []

    def advanced(self, sequences):
        if sequences >= self.sequences:
            self.sequences = np.inf
            signal.raise_signal(signal.SIGINT)

    def evaluated(self, sequences, members):
        pass

    def note(self, text):
        self.notes.append(text)

    def close(self):
        pass
