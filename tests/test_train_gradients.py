"""Written-out gradients and compiled loops against automatic differentiation."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from small_networks import member_of, random_batch, small_network
from tolerances import EXPONENTIAL, FLOAT32, WRITTEN_GRADIENT

from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.cpu.kernels import exponential
from coopetition.train.compute.step import TrainingStep
from coopetition.train.sequences.batch import Batch

NETWORKS = {
    "the papers' two layers": {},
    "one layer without positions": {"depth": 1, "positions": "none"},
    "heads of another size": {"heads": 2},
    "rotary, MLP, biases": {"positions": "rotary", "mlp_ratio": 2.0, "bias": True},
    "three layers, no last norm": {"depth": 3, "positions": "sinusoidal", "final_norm": False},
    "one-hot": {"input": "onehot", "mlp_ratio": 4.0, "depth": 1},
}


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("members", [1, 3])
def test_equal_automatic_ones(settings, members):
    step = TrainingStep(small_network(members, **settings), OptimisationSettings())
    assert step.choice.reason == ""
    # several batches and shapes in a row: nothing of one may stay in the next one's gradients
    for seed, (count, context) in enumerate([(7, 2), (7, 2), (18, 3), (7, 2)]):
        batch = random_batch(step.network, count, context, seed)
        expected_loss = step.differentiate(batch)
        expected = {n: g.clone() for n, g in step.optimiser.gradients.views.items()}
        loss = step.compute_gradients(batch)
        torch.testing.assert_close(loss, expected_loss, rtol=0, atol=FLOAT32)
        for name, gradient in step.optimiser.gradients.views.items():
            error = (gradient - expected[name]).norm()
            assert error <= WRITTEN_GRADIENT * expected[name].norm() + 1e-9, name


def test_a_members_gradients_do_not_depend_on_the_others_by_a_bit():
    together = TrainingStep(small_network(3), OptimisationSettings())
    batch = random_batch(together.network)
    together.compute_gradients(batch)
    for member in range(3):
        alone = TrainingStep(small_network(seed=member), OptimisationSettings())
        alone.compute_gradients(member_of(batch, member))
        for name, gradient in alone.optimiser.gradients.views.items():
            assert torch.equal(together.optimiser.gradients.views[name][member], gradient[0])


def test_rows_of_former_batches_are_cleared():
    step = TrainingStep(small_network(), OptimisationSettings())
    for seed in range(3):
        batch = random_batch(step.network, seed=seed)
        step.compute_gradients(batch)
    touched = step.optimiser.gradients.views["label.weight"][0].abs().sum(-1) > 0
    assert set(touched.nonzero()[:, 0].tolist()) == set(batch.labels.flatten().tolist())


def test_a_label_twice_in_context_gets_both_gradients():
    step = TrainingStep(small_network(), OptimisationSettings())
    batch = random_batch(step.network)
    same = Batch(
        examples=batch.examples,
        labels=torch.full_like(batch.labels, 4),
        target=torch.full_like(batch.target, 4),
    )
    step.differentiate(same)
    expected = step.optimiser.gradients.views["label.weight"].clone()
    step.compute_gradients(same)
    torch.testing.assert_close(
        step.optimiser.gradients.views["label.weight"], expected, rtol=1e-4, atol=1e-7
    )


def test_loss_of_a_hopeless_answer_is_exact():
    network = small_network()
    with torch.no_grad():
        network.unembedding.bias[:, 3] = 500.0  # the softmax of every other label underflows
    step = TrainingStep(network, OptimisationSettings())
    batch = random_batch(network)
    batch = Batch(
        examples=batch.examples, labels=batch.labels, target=torch.full_like(batch.target, 5)
    )
    expected = step.differentiate(batch)
    assert expected.item() > 400
    torch.testing.assert_close(step.compute_gradients(batch), expected, rtol=1e-6, atol=0)


def test_a_loss_that_is_not_finite_shows():
    network = small_network()
    with torch.no_grad():
        network.label.weight[0, 7] = float("nan")
    step = TrainingStep(network, OptimisationSettings())
    batch = random_batch(network)
    batch.labels[0, 2, 1] = 7
    assert torch.isnan(step.compute_gradients(batch)).all()


def test_what_does_not_fit_is_refused():
    step = TrainingStep(small_network(), OptimisationSettings())
    batch = random_batch(step.network)
    batch.labels[0, 3, 1] = 30
    with pytest.raises(ValueError, match="a label in context is not below"):
        step(batch)
    batch.labels[0, 3, 1] = 0
    batch.target[0, 2] = -1
    with pytest.raises(ValueError, match="a target is not below"):
        step(batch)
    with pytest.raises(ValueError, match=r"expected \(1, 7, 3, 12\)"):
        step(random_batch(small_network(input_dim=5)))


@pytest.mark.parametrize(
    ("network", "optimisation", "reason"),
    [
        ({"input": "image", "encoder": "resnet", "input_dim": 16}, {}, "ResNet"),
        ({}, {"loss": "mse"}, "mse"),
        ({}, {"micro_batches": 2, "batch_size": 8}, "micro-batches"),
    ],
)
def test_what_is_left_to_automatic_differentiation_is_said(network, optimisation, reason):
    step = TrainingStep(small_network(**network), OptimisationSettings(**optimisation))
    assert reason in step.choice.reason
    assert torch.isfinite(step(random_batch(step.network, 8))).all()


def test_exponential_to_float_accuracy():
    @numba.njit
    def over(x, y):
        for i in range(x.size):
            y[i] = exponential(x[i])

    x = np.linspace(-86.9, 0, 100_001, dtype=np.float32)
    y = np.empty_like(x)
    over(x, y)
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=EXPONENTIAL)
    over(np.array([0.0, -200.0, np.nan], np.float32), y)
    assert y[0] == 1
    assert 0 <= y[1] < 1e-37
    assert np.isnan(y[2])
