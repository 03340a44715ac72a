"""Two steps by the plain path and by the chosen one: what agrees is kept, what does not is left."""

import json

import pytest
import torch
from recorded_graphs import Tapes
from short_runs import everything, go, small

from coopetition.errors import TrainingError
from coopetition.train.compute import triton
from coopetition.train.compute.triton.fused_step import FusedStep, interpreted
from coopetition.train.ensemble import Ensemble

CPU = torch.device("cpu")
needs_interpreter = pytest.mark.skipif(not interpreted(), reason="kernels are compiled for a GPU")


class Right:
    """Takes steps as a fused one would: by PyTorch's operations, in a graph or not."""

    updated_labels = "all (a stand-in)"

    def __init__(self, network, optimiser, precision="fp32"):
        self.network, self.optimiser = network, optimiser

    def __call__(self, batch):
        self.optimiser.gradients.flat.zero_()
        logits = self.network(batch.examples, batch.labels)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.target.flatten(), reduction="none"
        )
        loss = loss.view(batch.target.shape).mean(1)
        loss.sum().backward()
        self.spoil()
        self.optimiser.update()
        return loss.detach()

    def spoil(self):
        pass

    def settle(self):
        pass

    def restart(self):
        pass


class ForgetsALayer(Right):
    """The gradient of one small weight is wrong by a tenth."""

    def spoil(self):
        self.optimiser.gradients.views["blocks.1.attention.projection.weight"].mul_(1.1)


class TooFast(Right):
    """Its learning rate is wrong by a fifth; losses and moments after two steps hardly are."""

    def __call__(self, batch):
        rates = self.optimiser.rates
        kept, rates.steady = rates.steady, 1.2 * rates.steady
        try:
            return super().__call__(batch)
        finally:
            rates.steady = kept


class WrongLoss(Right):
    def __call__(self, batch):
        return 1.01 * super().__call__(batch)


class CountsOtherwise(Right):
    def __call__(self, batch):
        loss = super().__call__(batch)
        self.optimiser.steps += 1
        return loss


class Raises(Right):
    def __call__(self, batch):
        raise RuntimeError("no kernel image is available\nfor execution on the device")

    def settle(self):
        raise RuntimeError("nothing can be launched")


class FailingTapes(Tapes):
    def record(self, work):
        raise RuntimeError("operation not permitted when stream is capturing")


class WrongTapes(Tapes):
    """Replays compute nothing."""

    def record(self, work):
        super().record(work)
        return lambda: None


def members(kernels="fused", count=2, **run):
    return [
        small(f"run{i}", i, optimisation={"lr": 1e-5}, run={"kernels": kernels, **run})
        for i in range(count)
    ]


def checked(monkeypatch, step, recorder=None, **given):
    monkeypatch.setattr(triton, "fused_step_for", step)
    ensemble = Ensemble(members(**given), CPU)
    ensemble.check_paths(recorder)
    return ensemble


@pytest.mark.parametrize("recorder", [None, Tapes()])
def test_what_is_right_is_kept(monkeypatch, recorder):
    ensemble = checked(monkeypatch, Right, recorder)
    assert ensemble.path.kernels == ensemble.step.choice.kernels == "fused"
    assert ensemble.path.captured == (recorder is not None)
    assert ensemble.path.problems == ()
    assert ensemble.computed_by()["check"] == "2 steps equal plain ones to 0.001"
    assert "gradients" not in vars(ensemble.step.optimiser)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (ForgetsALayer, "moment_1/blocks.1.attention.projection.weight differs"),
        (TooFast, "parameters/position differs"),
        (WrongLoss, "losses differ by"),
        (CountsOtherwise, "steps are counted otherwise"),
        (Raises, "no kernel image is available"),
    ],
)
def test_what_is_wrong_or_raises_is_left_for_plain_steps(monkeypatch, step, says):
    ensemble = checked(monkeypatch, step)
    assert ensemble.path.kernels == ensemble.step.choice.kernels == "plain"
    assert ensemble.step.fused is None
    assert ensemble.computed_by()["why_not_faster"].startswith(f"fused steps: {says}")
    assert says in ensemble.summary()


def test_a_wrong_step_in_a_graph_leaves_plain_steps_in_one(monkeypatch):
    ensemble = checked(monkeypatch, WrongLoss, Tapes())
    assert (ensemble.path.kernels, ensemble.path.captured) == ("plain", True)
    assert [problem.split(":")[0] for problem in ensemble.path.problems] == [
        "fused steps in a graph", "fused steps",
    ]  # fmt: skip


@pytest.mark.parametrize("recorder", [FailingTapes, WrongTapes])
@pytest.mark.parametrize("kernels", ["fused", "plain"])
def test_where_graphs_fail_the_same_steps_are_taken_one_by_one(monkeypatch, kernels, recorder):
    ensemble = checked(monkeypatch, Right, recorder(), kernels=kernels)
    assert (ensemble.path.kernels, ensemble.path.captured) == (kernels, False)
    assert len(ensemble.path.problems) == 1
    ensemble.capture(4, pytest.fail, Tapes())
    assert ensemble.captured is None


def test_steps_that_nothing_computes_after_are_said(monkeypatch):
    ensemble = checked(monkeypatch, Right)

    def broken(state):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(triton, "fused_step_for", Raises)
    ensemble = Ensemble(members(), CPU)
    load, calls = ensemble.step.load_state_tensors, []

    def once(state):
        calls.append(state)
        return load(state) if len(calls) == 1 else broken(state)

    monkeypatch.setattr(ensemble.step, "load_state_tensors", once)
    with pytest.raises(TrainingError, match=r"broke the device \(no kernel.*run.kernels = plain"):
        ensemble.check_paths()


@pytest.mark.parametrize("kernels", ["auto", "plain", "fused"])
@pytest.mark.parametrize("step", [Right, WrongLoss, Raises])
def test_the_run_is_bitwise_one_without_a_check(tmp_path, monkeypatch, kernels, step):
    monkeypatch.setattr(triton, "fused_step_for", step)
    original = Ensemble.put_on_device

    def checking(self, made):
        original(self, made)
        self.check_paths(None if kernels == "auto" else Tapes())  # no tape sees a CPU's loops

    unchecked = "plain" if kernels == "fused" and step is not Right else kernels
    runs = members(kernels=unchecked, sequences=80), members(kernels=kernels, sequences=80)
    go(runs[0], tmp_path / "unchecked")
    with monkeypatch.context() as inside:
        inside.setattr(Ensemble, "put_on_device", checking)
        go(runs[1], tmp_path / "checked")
    for name in ("run0", "run1"):
        assert everything(tmp_path / "checked" / name) == everything(tmp_path / "unchecked" / name)
    about = json.loads((tmp_path / "checked" / "run0" / "run.json").read_text())
    assert about["kernels"] == ("written" if unchecked == "auto" else unchecked)
    assert "equal plain ones" in about["check"]
    assert ("fused steps" in about["check"]) == (unchecked != kernels)


@pytest.mark.parametrize("matmul", ["fp32", "bf16"])
def test_precisions_agree_with_themselves_in_any_network(matmul):
    settings = small(
        network={"mlp_ratio": 2.0, "bias": True, "width": 32},
        optimisation={"weight_decay": 0.1, "clip_norm": 1.0, "micro_batches": 2},
        run={"kernels": "plain", "matmul": matmul},
    )
    ensemble = Ensemble([settings], CPU)
    ensemble.check_paths(Tapes())
    assert ensemble.path.captured


@needs_interpreter
@pytest.mark.parametrize("wrong", [False, True])
def test_the_real_kernels_are_checked(monkeypatch, wrong):
    original = FusedStep.__call__

    def forgetful(self, batch):
        loss = original(self, batch)
        self.optimiser.moments[0].views["label.weight"].mul_(0.9)
        return loss

    if wrong:
        monkeypatch.setattr(FusedStep, "__call__", forgetful)
    settings = small(
        data={"n_classes": 8},
        sequences={"context_len": 1, "distractor": False},
        network={"width": 16, "heads": 1, "depth": 1, "positions": "none"},
        optimisation={"batch_size": 2},
        evaluation={"names": ("train",)},
        run={"kernels": "fused", "sequences": 8},
    )
    ensemble = Ensemble([settings], CPU)
    ensemble.check_paths()
    assert ensemble.step.choice.kernels == ("plain" if wrong else "fused")
    assert ensemble.path.problems == (
        ("fused steps: moment_1/label.weight differs",) if wrong else ()
    )
