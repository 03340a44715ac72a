"""Whole runs by the fused kernels, interpreted: label rows updated when shown, or always."""

from __future__ import annotations

import json

import pytest
import torch
from recorded_graphs import Repeated
from short_runs import StopAt, everything, go, small

from coopetition.errors import TrainingError
from coopetition.train import loop
from coopetition.train.compute.gpu import capture
from coopetition.train.compute.triton import lazy_labels
from coopetition.train.compute.triton.fused_step import interpreted
from coopetition.train.ensemble import Ensemble
from coopetition.train.folder.checkpoints import newest_checkpoint

pytestmark = pytest.mark.skipif(
    not interpreted(), reason="kernels are compiled in this process; TRITON_INTERPRET=1 runs these"
)
CPU = torch.device("cpu")


def members(**optimisation):
    """Two runs of four steps: measured after the second, evaluated and kept after the third."""
    return [
        small(
            name,
            seed,
            data={"n_classes": 8},
            sequences={"context_len": 1, "distractor": False},
            network={"width": 16, "heads": 1, "depth": 1, "positions": "none"},
            optimisation={"lr": 1e-2 * (1 + seed), "batch_size": 2, **optimisation},
            evaluation={"every": 6, "names": ("train",)},
            run={"sequences": 8, "checkpoint_every": 6, "measures_every": 4, "kernels": "fused"},
        )
        for seed, name in enumerate("ab")
    ]


@pytest.fixture
def small_cache(monkeypatch):
    """Even the weights of these networks are more than a cache holds."""
    monkeypatch.setattr(lazy_labels, "WORTH", 1)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of the runs whose every row was updated at every step."""
    folder = tmp_path_factory.mktemp("dense")
    go(members(), folder)
    return folder


def said_by(folder):
    return json.loads((folder / "a" / "run.json").read_text())["updated_labels"]


def same(folder, other):
    """Whether curves, measures and checkpoints are the same to the bit."""
    tensors = [newest_checkpoint(of)[0].tensors for of in (folder, other)]
    assert sorted(tensors[0]) == sorted(tensors[1])
    return all(everything(folder / name) == everything(other / name) for name in "ab") and all(
        torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0]
    )


def test_rows_updated_when_shown_give_the_run_of_all_rows(tmp_path, small_cache, dense):
    go(members(), tmp_path)
    assert said_by(tmp_path) == "those shown"
    assert said_by(dense) == "all (weights and moments fit the cache)"
    assert same(tmp_path, dense)


def test_broken_off_while_rows_wait_it_continues_as_the_unbroken_run(
    tmp_path, monkeypatch, small_cache, dense
):
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(members(), tmp_path, observers=[StopAt(4)])
    go((), tmp_path, resume=True)
    assert same(tmp_path, dense)


def test_stretches_that_are_repeated_leave_rows_waiting(monkeypatch, small_cache):
    one, other = (Ensemble(members()[:1], CPU) for _ in range(2))
    monkeypatch.setattr(capture, "WARM_UP", 1)
    other.capture(2, pytest.fail, Repeated())
    with monkeypatch.context() as inside:
        inside.setattr(other.step, "settle", pytest.fail)
        other.advance(4)
    assert other.captured.replayed == 2
    one.advance(4)
    waiting = dict(other.step.network.named_parameters())["label.weight"].clone()
    states = one.state(), other.state()
    assert not torch.equal(waiting, states[1]["step/parameters/label.weight"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_embeddings_drawn_anew_are_moved_by_no_step_before(monkeypatch):
    settings = members(reinitialise_embeddings_every=2)[:1]
    states = []
    for least in (lazy_labels.WORTH, 1):
        monkeypatch.setattr(lazy_labels, "WORTH", least)
        ensemble = Ensemble(settings, CPU)
        ensemble.advance(3)
        states.append(ensemble.state())
    assert ensemble.step.updated_labels == "those shown"
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_weights_put_in_are_moved_by_no_step_before(small_cache):
    ensemble = Ensemble(members()[:1], CPU)
    start = {name: tensor.clone() for name, tensor in ensemble.state().items()}
    ensemble.advance(2)
    ensemble.load_state(start)
    assert all(torch.equal(start[name], tensor) for name, tensor in ensemble.state().items())
