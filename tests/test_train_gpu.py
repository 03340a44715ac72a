"""The same run on a GPU, by every way it can be computed there; needs one."""

import json

import numpy as np
import pytest
import torch
from short_runs import StopAt, everything
from small_networks import member_of, random_batch, small_network
from tolerances import BFLOAT16, GPU_LOSS, IMPROBABLE, TF32

from coopetition.curves.landmarks import landmarks
from coopetition.errors import TrainingError
from coopetition.settings.presets import preset
from coopetition.settings.training import OptimisationSettings, TrainingSettings
from coopetition.train import loop
from coopetition.train.compute.step import TrainingStep
from coopetition.train.compute.triton import lazy_labels
from coopetition.train.data import make_dataset
from coopetition.train.ensemble import Ensemble
from coopetition.train.evaluation.evaluators import make_evaluators, stored
from coopetition.train.loop import train
from coopetition.train.sequences.batch import Batch, Exemplars

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
STEPS = 200
CUDA = torch.device("cuda")
by_kernels = pytest.mark.parametrize("kernels", ["plain", "fused"])


def settings(name="gpu", seed=0, **run):
    """A run of 200 steps that is evaluated at odd places."""
    return TrainingSettings(
        name=name,
        data={"n_classes": 100, "n_exemplars": 5, "dim": 16},
        evaluation={"n_sequences": 200, "every": 1_632},
        optimisation={"lr": 1e-3, "batch_size": 32},
        run={"sequences": 32 * STEPS, "checkpoint_every": 3_200, "seed": seed, **run},
    )


def go(members, folder, **more):
    return train(members, folder, device="cuda", progress=False, **more)


def moved(batch, device="cuda"):
    return Batch(
        examples=batch.examples.to(device),
        labels=batch.labels.to(device),
        target=batch.target.to(device),
    )


def step_of(members=1, device="cuda", kernels="auto", matmul="fp32", **optimisation):
    given = {"lr": 1e-3, "schedule": "cosine", "warmup_steps": 20, "decay_steps": 400}
    return TrainingStep(
        small_network(members), OptimisationSettings(**{**given, **optimisation}),
        device=device, kernels=kernels, matmul=matmul,
    )  # fmt: skip


def losses_of(step, device="cuda", members=None):
    """Losses of 200 steps on batches that every device has alike, ``(200, members)``."""
    shape = small_network(members or step.network.members)
    found = [step(moved(random_batch(shape, seed=i), device)).clone() for i in range(STEPS)]
    return torch.stack(found).cpu()


@pytest.fixture(params=["plain", "fused", "fused, rows that wait"])
def computed(request, monkeypatch):
    """The kernels; in small ensembles too label rows are updated only when shown, if they wait."""
    if request.param == "fused, rows that wait":
        monkeypatch.setattr(lazy_labels, "WORTH", 1)
    return request.param.partition(",")[0]


@pytest.mark.parametrize("odd", [{}, {"data": {"dim": 5}, "optimisation": {"batch_size": 31}}])
def test_graphs_give_the_bits_of_single_steps(tmp_path, computed, odd):
    for capture in ("off", "auto"):
        members = [settings(f"run{i}", i, kernels=computed, capture=capture) for i in range(3)]
        members = [
            member.replace(**{s: getattr(member, s).replace(**odd[s]) for s in odd})
            for member in members
        ]
        go(members, tmp_path / capture)
        about = json.loads((tmp_path / capture / "run0" / "run.json").read_text())
        assert about["capture"] == "CUDA graphs" or capture == "off"  # none failed
    for i in range(3):
        assert everything(tmp_path / "auto" / f"run{i}") == everything(tmp_path / "off" / f"run{i}")


def test_stretches_are_captured(computed):
    ensemble = Ensemble([settings(kernels=computed)], CUDA)
    ensemble.capture(32, pytest.fail)
    for steps in (32, 32, 5, 32):
        ensemble.advance(steps)
    assert ensemble.captured.problem == ""
    assert ensemble.captured.replayed == 69
    assert int(ensemble.step.optimiser.steps) == ensemble.step.done == 101


def test_a_run_broken_off_on_a_gpu_continues_bitwise(tmp_path, monkeypatch, computed):
    chosen = settings(kernels=computed)
    go(chosen, tmp_path / "unbroken")
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(chosen, tmp_path / "run", observers=[StopAt(3_968)])  # after 124 steps
    monkeypatch.setattr(loop, "STRETCH", 32)
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(tmp_path / "unbroken")


@by_kernels
def test_a_gpu_computes_the_steps_of_a_cpu(kernels):
    cpu = losses_of(step_of(2, device="cpu", kernels="plain"), "cpu")
    gpu = losses_of(step_of(2, kernels=kernels))
    torch.testing.assert_close(cpu, gpu, rtol=0, atol=GPU_LOSS)
    assert cpu[-1].mean() < cpu[0].mean()


@by_kernels
def test_a_member_is_the_run_it_would_be_alone(kernels):
    together = losses_of(step_of(3, kernels=kernels))
    for member in range(3):
        alone = TrainingStep(
            small_network(seed=member),
            step_of(1).settings,
            device="cuda",
            kernels=kernels,
        )
        shape = small_network(3)
        own = [
            alone(moved(member_of(random_batch(shape, seed=i), member))).clone()
            for i in range(STEPS)
        ]
        torch.testing.assert_close(
            torch.stack(own)[:, 0].cpu(), together[:, member], rtol=0, atol=GPU_LOSS
        )


@pytest.mark.parametrize("decay", ["squared", "decoupled"])
def test_fused_and_plain_steps_are_the_same(decay):
    given = {"weight_decay": 0.01, "weight_decay_kind": decay, "weight_decay_on": "attention"}
    fused, plain = (losses_of(step_of(3, kernels=k, **given)) for k in ("fused", "plain"))
    torch.testing.assert_close(fused, plain, rtol=0, atol=GPU_LOSS)


@by_kernels
@pytest.mark.parametrize(("matmul", "tolerance"), [("tf32", TF32), ("bf16", BFLOAT16)])
def test_rounded_products_change_losses_by_their_rounding(kernels, matmul, tolerance):
    exact, rounded = (losses_of(step_of(kernels=kernels, matmul=m)) for m in ("fp32", matmul))
    torch.testing.assert_close(exact[:20], rounded[:20], rtol=tolerance, atol=tolerance)
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact[-20:].mean(), rounded[-20:].mean(), rtol=0.1, atol=0.05)


def test_three_products_of_tf32_are_one_of_float32_but_for_rounding():
    exact, thrice = (losses_of(step_of(kernels="fused", matmul=m)) for m in ("fp32", "tf32x3"))
    torch.testing.assert_close(exact, thrice, rtol=0, atol=GPU_LOSS)


def test_rows_that_wait_give_the_run_of_all_rows(tmp_path, monkeypatch):
    losses = []
    for least in (lazy_labels.WORTH, 1):
        monkeypatch.setattr(lazy_labels, "WORTH", least)
        members = [settings(f"run{i}", i, kernels="fused") for i in range(3)]
        runs = go(members, tmp_path / str(least))
        losses.append([run.curves.curve("train", "loss").values for run in runs])
    assert np.allclose(*losses, rtol=0, atol=GPU_LOSS)


def test_evaluation_sequences_are_those_of_the_cpu():
    dataset = make_dataset(settings().data)
    of = {
        name: stored(make_evaluators(settings(), Exemplars(dataset, device), device))
        for name in ("cpu", "cuda")
        for device in (torch.device(name),)
    }
    assert all(torch.equal(of["cpu"][name], of["cuda"][name]) for name in of["cpu"])


def test_a_gpu_learns_as_a_cpu_does(tmp_path):
    runs = {
        device: train(settings(kernels=kernels), tmp_path / device, device=device, progress=False)[
            0
        ]
        for device, kernels in (("cpu", "plain"), ("cuda", "auto"))
    }
    losses = [run.curves.curve("train", "loss").values for run in runs.values()]
    # other random sequences, so equal only statistically
    assert np.allclose(losses[0], losses[1], rtol=0.1)


def test_memory_is_stated_and_was_foreseen(tmp_path):
    members = [settings(f"run{i}", i) for i in range(16)]
    run = go(members, tmp_path / "run")[0]
    about = json.loads((tmp_path / "run" / "run0" / "run.json").read_text())
    assert about["gpu_memory_peak_bytes"] == run.peak_memory > 0
    assert "GB of GPU memory" in run.summary()
    ensemble = Ensemble(members, CUDA)
    assert run.peak_memory > ensemble.memory_need().total(16)  # what passes comes on top


@pytest.mark.slow
def test_landmarks_over_eight_seeds_are_distributed_as_on_a_cpu(tmp_path):
    from scipy.stats import mannwhitneyu

    base = preset("cpu-transient")
    members = [
        base.replace(name=f"seed{seed}", run=base.run.replace(seed=seed)) for seed in range(8)
    ]
    peaks = {}
    for device in ("cpu", "cuda"):
        runs = train(members, tmp_path / device, device=device, progress=False)
        marks = [landmarks(run.curves).peak_flip for run in runs]
        peaks[device] = [0.0 if mark is None else mark.value for mark in marks]
    assert mannwhitneyu(peaks["cpu"], peaks["cuda"]).pvalue > IMPROBABLE
