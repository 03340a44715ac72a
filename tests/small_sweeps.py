"""Small sweeps for the tests of executors, and how to watch them from outside."""

from __future__ import annotations

import contextlib
import json
import os
import time
from concurrent.futures import Executor, Future
from pathlib import Path

from coopetition.settings.training import TrainingSettings
from coopetition.train.sweeps.sweep import make_sweep
from coopetition.train.sweeps.sweep_run import train_sweep
from coopetition.train.sweeps.task_process import train_here
from coopetition.train.sweeps.tasks import ATTEMPTS

PATIENCE = 120  # seconds until a test gives up waiting for another process
COMMON = {
    "data": {"n_classes": 12, "n_exemplars": 3, "dim": 4},
    "network": {"width": 16, "heads": 2},
    "optimisation": {"batch_size": 4, "lr": 1e-2},
    "evaluation": {"n_sequences": 20, "every": 400},
    "run": {"sequences": 4_800, "checkpoint_every": 200, "block": 16, "per_sequence": False},
}
GRID = {"sequences.match_probability": [0.0, 1.0], "run.seed": [0, 1]}


class InThisProcess(Executor):
    """Trains at once and here, for tests that are not about processes."""

    def submit(self, fn, task):
        future = Future()
        future.set_result(train_here(task))
        return future


def sweep(**more):
    return make_sweep(TrainingSettings(name="small", **COMMON), grid={**GRID, **more})


def attempts(folder):
    lines = (folder / ATTEMPTS).read_text().splitlines() if (folder / ATTEMPTS).exists() else []
    return [json.loads(line) for line in lines]


def eventually(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
    return found


def half_way(folder):
    """The process that trains a run, once it has written a few checkpoints."""
    written = len(list((folder / "checkpoints").glob("*.json"))) > 1
    return attempts(folder)[-1]["process"] if written else None


def curves(folder):
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/curves.csv"))}


def alive(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return not Path(f"/proc/{process}/stat").read_text().split(")")[1].startswith(" Z")
    return False


def go(folder, executor, **more):
    wanted = more.pop("wanted", None) or sweep()
    return train_sweep(wanted, folder, executor=executor, device="cpu", progress=False, **more)
