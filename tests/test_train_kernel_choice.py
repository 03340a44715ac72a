"""Which kernels compute a step, in which precision, and what a run says of it."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from short_runs import go, small
from small_networks import random_batch, small_network
from tolerances import BFLOAT16, FLOAT32

from coopetition.errors import TrainingError
from coopetition.settings.training import OptimisationSettings
from coopetition.train import loop
from coopetition.train.compute import triton
from coopetition.train.compute.kernel_choice import choose_kernels
from coopetition.train.compute.precision import check_precision, products
from coopetition.train.compute.step import TrainingStep
from coopetition.train.compute.triton.fused_step import interpreted
from coopetition.train.compute.triton.launches import Launch
from coopetition.train.ensemble import Ensemble
from coopetition.train.optimisation.optimiser import Optimiser

CPU, CUDA, SETTINGS = torch.device("cpu"), torch.device("cuda"), OptimisationSettings()


class StandIn:
    """Takes a step as the fused one does, by PyTorch's operations."""

    updated_labels = "all (a stand-in)"

    def __init__(self, network, optimiser: Optimiser, precision="fp32"):
        self.network, self.optimiser, self.precision = network, optimiser, precision
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        self.optimiser.gradients.flat.zero_()
        logits = self.network(batch.examples, batch.labels)
        loss = torch.nn.functional.cross_entropy(logits[0], batch.target[0])
        loss.backward()
        self.optimiser.update()
        return loss.detach()[None]

    def settle(self):
        pass

    def restart(self):
        pass


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(triton, "fused_step_for", StandIn)


def choose(wanted, network, matmul="fp32"):
    optimiser = Optimiser(network, [SETTINGS], ())
    return choose_kernels(wanted, network, optimiser, matmul)[0]


def test_a_cpu_computes_gradients_that_are_written_by_hand():
    network = small_network()
    assert choose("auto", network).kernels == "written"
    plain = choose("plain", network)
    assert (plain.kernels, plain.reason) == ("plain", "run.kernels = plain")
    rounded = choose("auto", network, "bf16")
    assert (rounded.kernels, rounded.reason) == ("plain", "matrix products are in bf16")


def test_another_device_takes_plain_kernels_and_fused_ones_where_they_are_wanted(monkeypatch):
    network = small_network().to("meta")
    choice = choose("auto", network, "tf32")
    assert choice.kernels == "plain"
    assert "experimental: run.kernels = fused takes them" in choice.reason
    monkeypatch.setattr(triton, "fused_step_for", StandIn)
    assert choose("fused", network, "tf32").summary() == "fused kernels"
    monkeypatch.setattr(triton, "fused_step_for", lambda *given: "the moon is full")
    with pytest.raises(ValueError, match=r"run.kernels = 'fused': the moon is full; use auto"):
        choose("fused", network)


def test_three_products_of_tf32_need_fused_kernels(stand_in):
    network = small_network().to("meta")
    assert choose("fused", network, "tf32x3").kernels == "fused"
    for kernels in ("plain", "auto"):
        with pytest.raises(ValueError, match=rf"only fused .*{kernels}.*run.kernels = fused"):
            choose(kernels, network, "tf32x3")


def test_fused_kernels_are_refused_before_a_folder_is_made(tmp_path):
    chosen = small(run={"kernels": "fused"}, optimisation={"loss": "mse"})
    with pytest.raises(ValueError, match=r"run.kernels = 'fused': .*; use auto or plain"):
        go(chosen, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_by_fused_kernels_is_recorded_as_one(tmp_path, stand_in):
    (run,) = go(small(run={"kernels": "fused"}), tmp_path / "fused")
    (written,) = go(small(), tmp_path / "written")
    losses = [r.curves.curve("train", "loss").values for r in (run, written)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    about = [
        json.loads((tmp_path / name / "run.json").read_text()) for name in ("fused", "written")
    ]
    assert [says["kernels"] for says in about] == ["fused", "written"]
    assert about[0]["capture"] == "none (the device is cpu)"
    assert about[0]["matmul"] == "fp32"


@pytest.mark.skipif(not interpreted(), reason="kernels are compiled for a GPU")
def test_an_ensemble_trains_by_the_real_fused_kernels():
    members = [small("a", 1), small("b", 2, optimisation={"lr": 3e-3})]
    members = [m.replace(network=m.network.replace(width=16)) for m in members]
    written = Ensemble(members, CPU)
    run = members[0].run.replace(kernels="fused")
    fused_one = Ensemble([m.replace(run=run.replace(seed=m.run.seed)) for m in members], CPU)
    assert fused_one.step.choice.kernels == "fused"
    for ensemble in (written, fused_one):
        ensemble.advance(2)
    torch.testing.assert_close(written.loss_sum, fused_one.loss_sum, rtol=0, atol=FLOAT32)
    for name, weight in written.step.state_tensors().items():
        own = fused_one.step.state_tensors()[name]
        torch.testing.assert_close(weight, own, rtol=0, atol=FLOAT32, msg=name)


class TritonError(Exception):
    """As Triton's own, by its module."""

    __module__ = "triton.compiler.errors"


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (TritonError("out of shared memory"), TrainingError, r"shared memory.*run.kernels = plain"),
        (ZeroDivisionError("ours"), ZeroDivisionError, "ours"),
    ],
)
def test_kernels_that_cannot_be_compiled_say_what_to_do(error, raised, says):
    class Kernel:
        def __getitem__(self, grid):
            raise error

    with pytest.raises(raised, match=says):
        Launch(kernel=Kernel(), grid=(1, 1), arguments={}, warps=1)()


def test_the_fused_step_is_told_the_precision_and_takes_every_step(stand_in):
    step = TrainingStep(small_network(), SETTINGS, kernels="fused", matmul="bf16")
    step(random_batch(step.network))
    assert (step.fused.precision, step.fused.calls, step.done) == ("bf16", 1, 1)


def test_plain_and_hand_written_steps_are_the_same():
    steps = [
        TrainingStep(small_network(2), OptimisationSettings(lr=1e-2), kernels=kernels)
        for kernels in ("auto", "plain")
    ]
    for index in range(20):
        batch = random_batch(steps[0].network, seed=index)
        losses = [step(batch) for step in steps]
        torch.testing.assert_close(*losses, rtol=0, atol=10 * FLOAT32)


def test_bfloat16_changes_losses_by_its_rounding_only():
    exact, rounded = (
        TrainingStep(small_network(2), OptimisationSettings(lr=1e-2), matmul=matmul)
        for matmul in ("fp32", "bf16")
    )
    for index in range(20):
        batch = random_batch(exact.network, seed=index)
        losses = exact(batch), rounded(batch)
        assert losses[1].dtype == torch.float32
        torch.testing.assert_close(*losses, rtol=BFLOAT16, atol=BFLOAT16)
        assert not torch.equal(*losses)
    assert rounded.optimiser.parameters.flat.dtype == torch.float32


@pytest.mark.parametrize("matmul", ["tf32", "tf32x3"])
def test_a_cpu_refuses_tf32(tmp_path, matmul):
    with pytest.raises(ValueError, match=rf"run.matmul = '{matmul}': a CPU has no such products"):
        go(small(run={"matmul": matmul}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_old_gpu_refuses_what_it_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    check_precision("fp32", CUDA)
    with pytest.raises(ValueError, match="an old GPU has no such products; use fp32"):
        check_precision("bf16", CUDA)


@pytest.mark.parametrize("before", ["none", "tf32", "ieee"])
@pytest.mark.parametrize(("matmul", "during"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_switches_are_put_back(before, matmul, during):
    switch = torch.backends.cuda.matmul
    kept = switch.fp32_precision
    try:
        switch.fp32_precision = before
        with contextlib.suppress(ZeroDivisionError), products(matmul, CUDA):
            assert switch.fp32_precision == torch.backends.cudnn.conv.fp32_precision == during
            raise ZeroDivisionError
        assert switch.fp32_precision == before
        with products(matmul, CPU):
            assert switch.fp32_precision == before
    finally:
        switch.fp32_precision = kept


@pytest.mark.parametrize(
    ("name", "value"), [("kernels", "plain"), ("matmul", "bf16"), ("capture", "off")]
)
def test_members_of_an_ensemble_are_computed_alike(name, value):
    with pytest.raises(ValueError, match=rf"run\.{name} differs"):
        Ensemble([small("a"), small("b", run={name: value})], CPU)


def test_kernels_and_capture_may_change_when_a_run_is_continued(tmp_path):
    go(small(), tmp_path / "run")
    longer = {"sequences": 280, "kernels": "plain", "capture": "off"}
    (run,) = go(small(run=longer), tmp_path / "run", resume=True)
    assert run.sequences == 280
    with pytest.raises(ValueError, match="other run settings"):
        go(small(run={**longer, "matmul": "bf16"}), tmp_path / "run", resume=True)


def test_one_place_knows_of_the_fused_kernels():
    train = Path(loop.__file__).parent
    files = [path for path in train.rglob("*.py") if "triton" not in path.parts]
    known = [path.name for path in files if "triton" in path.read_text(encoding="utf-8")]
    assert known == ["kernel_choice.py"]
