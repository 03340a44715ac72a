"""The training step's state: resumed bitwise, loaded in part, re-initialised."""

from __future__ import annotations

import pytest
import torch
from small_networks import random_batch, small_network
from tolerances import ADAM_LOSS

from coopetition.errors import CheckpointError
from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.sequences.batch import Batch

FORGETFUL = OptimisationSettings(
    lr=1e-3, reinitialise_embeddings_every=3, reinitialise_embeddings_until=6
)


def state_of(step: TrainingStep) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in step.state_tensors().items()}


@pytest.mark.parametrize(
    "settings",
    [
        OptimisationSettings(lr=1e-3, schedule="warmup_decay", warmup_steps=4),
        OptimisationSettings(lr=1e-3, optimizer="sgd", weight_decay=0.1, weight_decay_kind="norm"),
        FORGETFUL,
    ],
)
def test_resumes_bitwise(settings):
    whole = TrainingStep(small_network(2), settings, seeds=(0, 1))
    for index in range(4):
        whole(random_batch(whole.network, seed=index))
    kept = state_of(whole)
    resumed = TrainingStep(small_network(2, seed=50), settings, seeds=(0, 1))
    resumed(random_batch(whole.network, seed=9))  # what was there before must not matter
    resumed.load_state_tensors(kept)
    for index in range(4, 9):
        batch = random_batch(whole.network, seed=index)
        assert torch.equal(whole(batch), resumed(batch))
    for name, tensor in whole.state_tensors().items():
        assert torch.equal(tensor, resumed.state_tensors()[name]), name


def test_the_same_seed_trains_the_same_network():
    runs = [TrainingStep(small_network(), OptimisationSettings(lr=1e-3)) for _ in range(2)]
    for index in range(3):
        batch = random_batch(runs[0].network, seed=index)
        first, second = (run(batch) for run in runs)
        assert torch.equal(first, second)


def test_weights_alone_start_with_fresh_moments():
    old = TrainingStep(small_network(), OptimisationSettings(lr=1e-3))
    old(random_batch(old.network))
    new = TrainingStep(small_network(seed=5), OptimisationSettings(lr=1e-3))
    new.load_state_tensors(state_of(old), weights_only=True)
    assert torch.equal(new.optimiser.parameters.flat, old.optimiser.parameters.flat)
    assert new.optimiser.steps == 0
    assert all(torch.all(moment.flat == 0) for moment in new.optimiser.moments)
    # the network reads the same memory
    assert torch.equal(new.network.unembedding.weight, old.network.unembedding.weight)


def test_state_of_another_network_is_refused():
    step = TrainingStep(small_network(), OptimisationSettings())
    other = state_of(TrainingStep(small_network(width=16), OptimisationSettings()))
    with pytest.raises(CheckpointError, match="has shape"):
        step.load_state_tensors(other)
    del other["steps"]
    with pytest.raises(CheckpointError, match="differs in steps"):
        step.load_state_tensors(other)
    with pytest.raises(CheckpointError, match="differs in moment_1"):
        step.load_state_tensors(
            state_of(TrainingStep(small_network(), OptimisationSettings(optimizer="sgd")))
        )


def test_training_brings_the_loss_down():
    step = TrainingStep(small_network(), OptimisationSettings(lr=1e-2))
    batch = random_batch(step.network, 16)
    losses = [step(batch).item() for _ in range(60)]
    assert losses[-1] < 0.05 < losses[0]


def test_embeddings_are_drawn_anew_while_it_lasts():
    step = TrainingStep(small_network(), FORGETFUL, seeds=(4,))
    alone = TrainingStep(small_network(), OptimisationSettings(lr=1e-3))
    fresh = []
    for index in range(10):
        labels = step.network.label.weight.detach().clone()
        step(random_batch(step.network, seed=index))
        alone(random_batch(step.network, seed=index))
        # one Adam step moves a weight by about lr; a new draw moves it by its spread
        fresh.append((step.network.label.weight - labels).abs().max().item() > 0.02)
    assert fresh == [index in (3, 6) for index in range(10)]
    again = TrainingStep(small_network(), FORGETFUL, seeds=(4,))
    for index in range(4):
        again(random_batch(step.network, seed=index))
    other = TrainingStep(small_network(), FORGETFUL, seeds=(5,))
    for index in range(4):
        other(random_batch(step.network, seed=index))
    assert not torch.equal(again.network.label.weight, other.network.label.weight)


def test_re_initialising_needs_seeds():
    with pytest.raises(ValueError, match="re-initialising embeddings needs one"):
        TrainingStep(small_network(), FORGETFUL)


@pytest.mark.gpu
def test_a_gpu_trains_as_the_cpu_does():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = OptimisationSettings(lr=1e-3, schedule="cosine", warmup_steps=4, decay_steps=50)
    devices = [TrainingStep(small_network(2), settings, device=d) for d in ("cpu", "cuda")]
    for index in range(20):
        batch = random_batch(devices[0].network, seed=index)
        moved = Batch(
            examples=batch.examples.cuda(), labels=batch.labels.cuda(), target=batch.target.cuda()
        )
        losses = [devices[0](batch), devices[1](moved).cpu()]
        torch.testing.assert_close(*losses, rtol=0, atol=ADAM_LOSS)
