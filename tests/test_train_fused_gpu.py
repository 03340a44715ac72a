"""The fused step's kernels on a GPU; needs one."""

from __future__ import annotations

import pytest
import torch
from fused_cases import CASES, errors_of_gradients, fused, largest_difference, pair, shown
from tolerances import FUSED_ADAM, FUSED_TF32, WRITTEN_GRADIENT

from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.triton.fused_step import FusedStep

pytestmark = pytest.mark.gpu

TINY = {"width": 16, "heads": 2, "n_labels": 40}
PAPERS = {"n_labels": 12_800, "input_dim": 64, "width": 64, "heads": 8}


@pytest.mark.parametrize("precision", ["fp32", "tf32x3"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_automatic_ones(case, precision):
    for name, error in errors_of_gradients(case, precision, "cuda").items():
        assert error <= 2 * WRITTEN_GRADIENT, name


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_rounded_products_stay_near(case, precision):
    allowed = FUSED_TF32 * (8 if precision == "bf16" else 1)  # three bits of mantissa fewer
    for name, error in errors_of_gradients(case, precision, "cuda").items():
        assert error <= allowed, name


@pytest.mark.parametrize("members", [1, 32])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_papers_steps_are_those_of_the_trainer(members, lazy):
    each = [OptimisationSettings(lr=1e-3, eps=1e-6)] * members
    plain, other = pair(members, PAPERS, each, "cuda")
    step = FusedStep(other.network, other.optimiser, lazy=lazy)
    for seed in range(10):
        batch = shown(plain.network, 32, 2, seed)
        expected = plain.differentiate(batch)
        plain.optimiser.update()
        torch.testing.assert_close(step(batch), expected, rtol=FUSED_ADAM, atol=1e-5)
    step.settle()
    for name, difference in largest_difference(other, plain).items():
        assert difference <= FUSED_ADAM, name


@pytest.mark.parametrize("lazy", [False, True])
def test_a_captured_step_gives_the_same_bits(lazy):
    eager, captured = pair(2, TINY, OptimisationSettings(lr=1e-2), "cuda")
    batch = shown(eager.network, 8, 2)
    runs = [FusedStep(step.network, step.optimiser, lazy=lazy) for step in (eager, captured)]
    for run in runs:
        run(batch)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(3):
            loss = runs[1](batch)
        runs[1].settle()
    graph.replay()
    for _ in range(3):
        expected = runs[0](batch)
    runs[0].settle()
    torch.cuda.synchronize()
    assert torch.equal(loss, expected)
    states = [step.state_tensors() for step in (eager, captured)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("begun", [1, 10_000, 60_000])
def test_when_rows_are_brought_up_to_date_changes_no_bit(begun):
    pairs = pair(2, TINY, OptimisationSettings(lr=1e-2), "cuda")
    for step, stops in zip(pairs, ([70, 71, 300], [300]), strict=True):
        step.optimiser.steps.fill_(begun)
        run = FusedStep(step.network, step.optimiser, lazy=True)
        run(shown(step.network, 8, 2))
        for missed in stops:
            step.optimiser.steps.fill_(begun + 1 + missed)
            run.settle()
    states = [step.state_tensors() for step in pairs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_label_that_does_not_exist_shows_in_its_member_alone():
    _, step = pair(3, TINY, OptimisationSettings(), "cuda")
    batch = shown(step.network, 5, 2)
    batch.labels[0, 1, 0] = 40
    batch.target[2, 0] = -1
    loss = fused(step, batch)(batch)
    assert torch.isnan(loss).tolist() == [True, False, True]
    assert torch.isfinite(step.network.unembedding.weight).flatten(1).all(1).tolist() == [
        False, True, False,
    ]  # fmt: skip
