"""The fused step's kernels, interpreted on the CPU, against automatic differentiation and Adam."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from fused_cases import CASES, SLOWEST, errors_of_gradients, fused, largest_difference, pair, shown
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_networks import random_batch, small_network
from tolerances import FUSED_ADAM, FUSED_RATE, WRITTEN_GRADIENT

from coopetition.settings.training import NetworkSettings, OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.compute.triton.fused_step import (
    FusedStep,
    aligned,
    interpreted,
    why_not_fused,
)
from coopetition.train.compute.triton.layout import choose_tiles
from coopetition.train.sequences.batch import Batch

pytestmark = pytest.mark.skipif(
    not interpreted(), reason="kernels are compiled in this process; TRITON_INTERPRET=1 runs these"
)

TINY = {"width": 16, "heads": 2, "depth": 1, "positions": "none", "n_labels": 20}


def check_gradients(case):
    for name, error in errors_of_gradients(case).items():
        assert error <= WRITTEN_GRADIENT, name


@pytest.mark.parametrize("case", [case for case in CASES if case not in SLOWEST])
def test_gradients_equal_automatic_ones(case):
    check_gradients(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(SLOWEST))
def test_gradients_of_larger_networks_equal_automatic_ones(case):
    check_gradients(case)


@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    members=st.integers(1, 2),
    count=st.integers(1, 6),
    context=st.integers(1, 3),
    labels=st.integers(3, 40),
    inputs=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_gradients_of_any_small_shape(members, count, context, labels, inputs, seed):
    network = {**TINY, "n_labels": labels, "input_dim": inputs}
    plain, other = pair(members, network, OptimisationSettings())
    batch = random_batch(plain.network, count, context, seed)
    loss = fused(other, batch)(batch)
    torch.testing.assert_close(loss, plain.differentiate(batch), rtol=WRITTEN_GRADIENT, atol=1e-6)
    gradient = other.optimiser.moments[0].flat / (1 - other.settings.betas[0])
    expected = plain.optimiser.gradients.flat
    assert (gradient - expected).norm() <= WRITTEN_GRADIENT * expected.norm()


OPTIMISATIONS = {
    "adam": {},
    "squared": {"weight_decay": 0.03, "weight_decay_on": "attention"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.3, "betas": (0.8, 0.99)},
    "decoupled embeddings": {
        "weight_decay": 0.3, "weight_decay_kind": "decoupled", "weight_decay_on": "embeddings",
    },
    "schedule": {
        "schedule": "warmup_decay", "warmup_steps": 2, "decay_steps": 6, "lr_floor": 1e-4,
    },
}  # fmt: skip


def check_steps(optimisation, steps, positions):
    common = {"eps": 1e-6, **optimisation}
    decay = common.pop("weight_decay", 0.0)
    each = [
        OptimisationSettings(lr=1e-2, weight_decay=decay, **common),
        OptimisationSettings(lr=1e-3, weight_decay=3 * decay, **common),
    ]
    plain, other = pair(2, {**TINY, "positions": positions}, each)
    step = fused(other, shown(plain.network, 3, 1))
    for seed in range(steps):
        batch = shown(plain.network, 3, 1, seed)
        torch.testing.assert_close(step(batch), plain(batch), rtol=FUSED_ADAM, atol=1e-6)
    assert int(other.optimiser.steps) == int(other.optimiser.count) == steps
    for name, difference in largest_difference(other, plain).items():
        assert difference <= FUSED_ADAM, name


# squared decay: with the rows that wait
@pytest.mark.parametrize("name", ["adamw", "schedule"])
def test_steps_are_those_of_the_trainer(name):
    check_steps(OPTIMISATIONS[name], 2, "none")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMISATIONS)
def test_twenty_steps_are_those_of_the_trainer(name):
    check_steps(OPTIMISATIONS[name], 20, "learned")


@pytest.mark.parametrize("schedule", ["constant", "warmup_decay", "cosine"])
def test_learning_rates_and_bias_corrections_are_exact(schedule):
    each = [
        OptimisationSettings(
            lr=lr, schedule=schedule, warmup_steps=warmup, decay_steps=1_000, lr_floor=1e-5
        )
        for lr, warmup in ((1e-3, 100), (1e-6, 0))
    ]
    step = TrainingStep(small_network(2, **TINY), each)
    batch = random_batch(step.network, 1, 1)
    fused_step = FusedStep(step.network, step.optimiser)
    launches = fused_step.launches(batch)
    beta1, beta2 = step.settings.betas
    for done in (0, 99, 100, 999, 20_000_000):
        step.optimiser.steps.fill_(done)
        fused_step.numbers.update_rates()
        launches.trunk_forward(batch)()
        rates = step.optimiser.rates(step.optimiser.steps).double()
        root = torch.full((2,), 1 - beta2 ** (done + 1), dtype=torch.float64).sqrt()
        expected = torch.stack((rates, rates / (1 - beta1 ** (done + 1)), root), dim=-1)
        found = launches.work.views["numbers"].double()
        torch.testing.assert_close(found, expected, rtol=FUSED_RATE, atol=0)


def test_a_step_repeated_gives_the_same_bits():
    pairs = pair(1, TINY, OptimisationSettings(lr=1e-2))
    for step in pairs:
        run = FusedStep(step.network, step.optimiser)
        for seed, (count, context) in enumerate([(2, 1), (3, 1)]):
            run(shown(step.network, count, context, seed))
    states = [step.state_tensors() for step in pairs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of the NaN that must show
def test_a_member_with_a_label_that_does_not_exist_shows_it_alone():
    good, step = pair(3, TINY, OptimisationSettings())
    batch = random_batch(step.network, 2, 1)
    expected = good(batch)
    broken = Batch(
        examples=batch.examples, labels=batch.labels.clone(), target=batch.target.clone()
    )
    broken.labels[0, 1, 0] = 20
    broken.target[2, 0] = -1
    loss = fused(step, broken)(broken)
    assert torch.isnan(loss).tolist() == [True, False, True]
    torch.testing.assert_close(loss[1], expected[1], rtol=WRITTEN_GRADIENT, atol=0)
    for name, weight in step.optimiser.parameters.views.items():
        torch.testing.assert_close(weight[1], good.optimiser.parameters.views[name][1])


def test_a_batch_is_read_from_where_kernels_were_compiled_for():
    whole = torch.arange(24.0).view(2, 3, 4)
    assert aligned(whole) is whole
    for part in (whole[:, 1], whole.flatten()[1:9].view(2, 4)):
        taken = aligned(part)
        assert taken.is_contiguous()
        assert taken.data_ptr() % 16 == 0
        assert torch.equal(taken, part)


def test_loss_of_a_hopeless_answer_is_exact():
    plain, other = pair(1, TINY, OptimisationSettings())
    batch = random_batch(plain.network, 2, 1)
    for step in (plain, other):
        with torch.no_grad():
            step.network.unembedding.bias[:, 3] = 500.0  # every other label's softmax underflows
    batch = Batch(
        examples=batch.examples, labels=batch.labels, target=torch.full_like(batch.target, 5)
    )
    expected = plain.differentiate(batch)
    assert expected.item() > 400
    torch.testing.assert_close(fused(other, batch)(batch), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("network", "optimisation", "reason"),
    [
        ({"input": "image", "encoder": "resnet", "input_dim": 16}, {}, "ResNet"),
        ({"width": 24, "heads": 2}, {}, "the width is 24, not one of 16, 32"),
        ({"input_dim": 2_000}, {}, "2000 entries"),
        ({"max_context_len": 32}, {}, "65 tokens"),
        ({"mlp_ratio": 0.25}, {}, "8 hidden"),
        ({}, {"loss": "mse"}, "mse"),
        ({}, {"optimizer": "sgd"}, "sgd"),
        ({}, {"clip_norm": 1.0}, "clipped"),
        ({}, {"micro_batches": 2, "batch_size": 8}, "micro-batches"),
        ({}, {"weight_decay": 0.1, "weight_decay_kind": "norm"}, "'norm'"),
    ],
)
def test_what_does_not_serve_is_said(network, optimisation, reason):
    step = TrainingStep(small_network(**network), OptimisationSettings(**optimisation))
    assert reason in why_not_fused(step.network, step.settings)
    with pytest.raises(ValueError, match="the fused step does not serve"):
        FusedStep(step.network, step.optimiser)


def test_what_is_done_to_a_network_or_missing_is_said(monkeypatch):
    network = small_network()
    assert why_not_fused(network, OptimisationSettings()) == ""
    network.label.weight.requires_grad_(False)
    assert why_not_fused(network, OptimisationSettings()) == "parts are frozen"
    network.edits = (None,)
    assert why_not_fused(network, OptimisationSettings()) == "heads are edited"
    monkeypatch.delenv("TRITON_INTERPRET")
    assert why_not_fused(network, OptimisationSettings()) == "the device is cpu"
    monkeypatch.setitem(sys.modules, "triton", None)
    assert why_not_fused(network, OptimisationSettings()) == "Triton is not installed"


def test_what_does_not_fit_is_refused():
    step = TrainingStep(small_network(), OptimisationSettings())
    with pytest.raises(ValueError, match="precision"):
        FusedStep(step.network, step.optimiser, precision="fp16")
    run = FusedStep(step.network, step.optimiser)
    with pytest.raises(ValueError, match=r"expected \(1, batch, context_len \+ 1, 12\)"):
        run(random_batch(small_network(input_dim=5)))
    batch = random_batch(step.network)
    with pytest.raises(ValueError, match=r"expected \(1, 7, 2\) and \(1, 7\)"):
        run(Batch(examples=batch.examples, labels=batch.labels[:, :, :1], target=batch.target))


@pytest.mark.parametrize("members", [1, 8, 32, 256])
@pytest.mark.parametrize("width", [16, 64, 256])
@pytest.mark.parametrize("context", [1, 2, 8, 31])
def test_tiles_hold_the_whole_problem(members, width, context):
    network = NetworkSettings(width=width, n_labels=12_799, input_dim=20, heads=4, mlp_ratio=1.0)
    tiles = choose_tiles(members, 33, context, network)
    assert tiles.group * (2 * context + 1) <= tiles.rows
    assert tiles.group >= 1
    covered = tiles.parts * tiles.per_part * tiles.labels
    # no part is without labels
    assert covered - tiles.per_part * tiles.labels < 12_799 <= covered
    assert width % tiles.chunk == 0


def test_triton_is_imported_only_for_a_step():
    program = "import sys, coopetition.train.compute.triton; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
