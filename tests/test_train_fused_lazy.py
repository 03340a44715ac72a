"""Rows of the label embedding that are updated only when shown: the same weights in the end."""

from __future__ import annotations

import pytest
import torch
from fused_cases import largest_difference, pair, shown
from small_networks import small_network
from tolerances import FUSED_ADAM

from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.compute.triton.fused_step import FusedStep, interpreted
from coopetition.train.compute.triton.lazy_labels import steps_that_count, why_not_lazy

pytestmark = pytest.mark.skipif(
    not interpreted(), reason="kernels are compiled in this process; TRITON_INTERPRET=1 runs these"
)

TINY = {"width": 16, "heads": 2, "depth": 1, "positions": "none", "n_labels": 20}
ELSEWHERE = {"weight_decay": 0.1, "weight_decay_on": "attention"}


def test_after_settling_steps_are_those_of_the_trainer():
    each = [OptimisationSettings(lr=lr, eps=1e-6, **ELSEWHERE) for lr in (1e-2, 1e-3)]
    plain, other = pair(2, TINY, each)
    step = FusedStep(other.network, other.optimiser, lazy=True)
    for seed in range(3):
        batch = shown(plain.network, 2, 1, seed)
        torch.testing.assert_close(step(batch), plain(batch), rtol=FUSED_ADAM, atol=1e-6)
        if seed == 1:
            step.settle()
    assert largest_difference(other, plain)["weights"] > 1e-3  # rows wait
    step.settle()
    for name, difference in largest_difference(other, plain).items():
        assert difference <= FUSED_ADAM, name
    settled = {name: tensor.clone() for name, tensor in other.state_tensors().items()}
    step.settle()
    assert all(torch.equal(settled[name], other.state_tensors()[name]) for name in settled)


@pytest.mark.parametrize("missed", [1, 300])
def test_missed_steps_are_steps_without_gradients(missed):
    optimisation = OptimisationSettings(lr=1e-2, betas=(0.8, 0.99))
    assert steps_that_count(optimisation.betas) == 96
    plain, other = pair(1, TINY, optimisation)
    batch = shown(plain.network, 2, 2)
    plain(batch)
    step = FusedStep(other.network, other.optimiser, lazy=True)
    step(batch)
    plain.optimiser.gradients.flat.zero_()
    for _ in range(missed):
        plain.optimiser.update()
    other.optimiser.steps += missed
    step.settle()
    for kept, expected in zip(
        (other.optimiser.parameters, *other.optimiser.moments),
        (plain.optimiser.parameters, *plain.optimiser.moments),
        strict=True,
    ):
        found, wanted = kept.views["label.weight"], expected.views["label.weight"]
        assert (found - wanted).abs().max() <= FUSED_ADAM * wanted.abs().max()


@pytest.mark.parametrize("begun", [1, 60_000])
def test_when_rows_are_brought_up_to_date_changes_no_bit(begun):
    """Also where corrections of bias are different at each step, or no longer."""
    pairs = pair(1, TINY, OptimisationSettings(lr=1e-2))
    for step, stops in zip(pairs, ([70, 71, 240], [240]), strict=True):
        step.optimiser.steps.fill_(begun)
        run = FusedStep(step.network, step.optimiser, lazy=True)
        run(shown(step.network, 2, 1))
        for missed in stops:
            step.optimiser.steps.fill_(begun + 1 + missed)
            run.settle()
    states = [step.state_tensors() for step in pairs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_rows_of_a_member_that_diverged_end_nothing():
    (step, _) = pair(2, TINY, OptimisationSettings(lr=1e-2))
    run = FusedStep(step.network, step.optimiser, lazy=True)
    run(shown(step.network, 2, 1))
    label = step.optimiser.moments[0].views["label.weight"]
    label[0] = torch.nan
    step.optimiser.steps += 50
    run.settle()
    weight = step.network.label.weight
    assert torch.isnan(weight).flatten(1).all(1).tolist() == [True, False]
    assert torch.isfinite(weight[1]).all()


@pytest.mark.parametrize(
    ("optimisation", "reason"),
    [
        ({}, ""),
        (ELSEWHERE, ""),
        ({"betas": (0.0, 0.9)}, ""),
        ({"schedule": "cosine"}, "the learning rate changes"),
        ({"weight_decay": 0.1}, "labels decay"),
        ({"betas": (0.9, 0.5)}, r"betas = (0.9, 0.5)"),
    ],
)
def test_why_every_row_must_be_updated(optimisation, reason):
    settings = OptimisationSettings(**optimisation)
    step = TrainingStep(small_network(**TINY), settings)
    said = why_not_lazy(step.optimiser)
    assert said.startswith(reason)
    assert bool(said) == bool(reason)
    run = FusedStep(step.network, step.optimiser, lazy=True)
    assert (run.lazy is None) == bool(reason)
    run.settle()
    run.restart()
