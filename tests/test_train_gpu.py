"""The same run on a GPU; needs one."""

import numpy as np
import pytest
import torch

from coopetition.errors import TrainingError
from coopetition.train import loop
from coopetition.train.batches import Exemplars
from coopetition.train.data import make_dataset
from coopetition.train.evaluators import make_evaluators, stored
from coopetition.train.loop import train
from coopetition.train.observers import Observer
from coopetition.train.settings import TrainingSettings

pytestmark = pytest.mark.gpu

SETTINGS = TrainingSettings(
    name="gpu",
    data={"n_classes": 100, "n_exemplars": 5, "dim": 16},
    evaluation={"n_sequences": 200, "every": 1_600},
    optimisation={"lr": 1e-3},
    run={"sequences": 6_400, "checkpoint_every": 3_200},
)


class StopAt(Observer):
    """Stops a run by raising, as a killed process would between two steps."""

    def advanced(self, sequences):
        if sequences >= 4_000:
            raise TrainingError("stopped by the test")

    def evaluated(self, sequences, members):
        pass

    def note(self, text):
        pass

    def close(self):
        pass


def test_a_run_broken_off_on_a_gpu_continues_bitwise(tmp_path, monkeypatch):
    train(SETTINGS, tmp_path / "unbroken", device="cuda", progress=False)
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        train(SETTINGS, tmp_path / "run", device="cuda", progress=False, observers=[StopAt()])
    train((), tmp_path / "run", resume=True, device="cuda", progress=False)
    tables = [(tmp_path / name / "curves.csv").read_bytes() for name in ("unbroken", "run")]
    assert tables[0] == tables[1]


def test_evaluation_sequences_are_those_of_the_cpu():
    dataset = make_dataset(SETTINGS.data)
    of = {
        name: stored(make_evaluators(SETTINGS, Exemplars(dataset, device), device))
        for name in ("cpu", "cuda")
        for device in (torch.device(name),)
    }
    assert all(torch.equal(of["cpu"][name], of["cuda"][name]) for name in of["cpu"])


def test_a_gpu_learns_as_a_cpu_does(tmp_path):
    runs = {
        device: train(SETTINGS, tmp_path / device, device=device, progress=False)[0]
        for device in ("cpu", "cuda")
    }
    losses = [run.curves.curve("train", "loss").values for run in runs.values()]
    # other random sequences, so equal only statistically
    assert np.allclose(losses[0], losses[1], rtol=0.1)
