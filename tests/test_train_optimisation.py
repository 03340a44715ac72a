"""Optimizers, schedules and weight decay against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from small_networks import member_of, random_batch, small_network
from tolerances import FLOAT32

from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.optimisation.decay import gradient_of_norm, in_part
from coopetition.train.optimisation.schedules import Rates
from coopetition.train.sequences.batch import Batch

PARAMETERS = dict(small_network(mlp_ratio=1.0).named_parameters())


CPU = torch.device("cpu")


def step_of(members: int = 1, **settings) -> TrainingStep:
    return TrainingStep(small_network(members), OptimisationSettings(**settings))


def test_schedules_at_known_points():
    steps = torch.tensor([0, 50, 100, 600, 1100, 5000])
    given = {"lr": 1e-3, "warmup_steps": 100, "decay_steps": 1000, "lr_floor": 1e-5}
    decays = OptimisationSettings(schedule="warmup_decay", **given)
    cosine = OptimisationSettings(schedule="cosine", **{**given, "decay_steps": 1100})
    steady = OptimisationSettings(lr=2e-4)
    rates = torch.cat([Rates([settings], CPU)(steps) for settings in (decays, cosine, steady)], 1)
    middle = 1e-5 + (1e-3 - 1e-5) / 2
    falling = 1e-5 + (1e-3 - 1e-5) * math.sqrt(0.5)
    assert rates[:, 0].tolist() == pytest.approx([1e-5, middle, 1e-3, falling, 1e-5, 1e-5])
    assert rates[:, 1].tolist() == pytest.approx(
        [1e-5, middle, 1e-3, 5e-4, 0, 0], rel=1e-6, abs=1e-12
    )
    assert rates[:, 2].tolist() == pytest.approx([2e-4] * 6)


@pytest.mark.parametrize("schedule", ["constant", "warmup_decay"])
@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_steps_equal_torchs(kind, schedule):
    given = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    network = small_network()
    copies = [parameter.detach().clone().requires_grad_() for parameter in network.parameters()]
    settings = OptimisationSettings(
        optimizer=kind, schedule=schedule, warmup_steps=3, decay_steps=10, **given
    )
    step = TrainingStep(network, settings)
    peer = (torch.optim.AdamW if kind == "adamw" else torch.optim.Adam)(copies, **given)
    for index in range(6):
        step(random_batch(network, seed=index))
        for copy, gradient in zip(copies, step.optimiser.gradients.views.values(), strict=True):
            copy.grad = gradient.clone()
        peer.param_groups[0]["lr"] = Rates([settings], CPU)(torch.tensor(index)).item()
        peer.step()
    for parameter, copy in zip(network.parameters(), copies, strict=True):
        torch.testing.assert_close(parameter, copy, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("kind", ["squared", "norm", "decoupled"])
@pytest.mark.parametrize("part", ["all", "attention", "mlp", "encoder", "embeddings"])
def test_decay_of_each_kind_on_each_part(kind, part):
    network = small_network(members=2, mlp_ratio=1.0)
    settings = {"optimizer": "sgd", "weight_decay_kind": kind, "weight_decay_on": part}
    strengths = (0.5, 0.0)
    step = TrainingStep(
        network, [OptimisationSettings(lr=0.1, weight_decay=s, **settings) for s in strengths]
    )
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    step.optimiser.update()  # gradients are 0: only the decay acts
    for name, after in network.named_parameters():
        old = before[name]
        shrunk = 0.1 * 0.5 * (old[0] / old[0].norm() if kind == "norm" else old[0])
        expected = old[0] - shrunk if in_part(name, part) else old[0]
        torch.testing.assert_close(after[0], expected, rtol=0, atol=FLOAT32)
        assert torch.equal(after[1], old[1])


def test_decay_of_a_norm_is_its_gradient_and_zero_at_zero():
    weight = torch.randn(2, 3, 4, requires_grad=True)
    (torch.tensor([0.3, 2.0]) * weight.flatten(1).norm(dim=1)).sum().backward()
    gradient = gradient_of_norm(weight.detach(), torch.tensor([0.3, 2.0]))
    torch.testing.assert_close(gradient, weight.grad)
    assert torch.all(gradient_of_norm(torch.zeros(1, 3), torch.ones(1)) == 0)


def test_parts_are_disjoint_where_they_should_be():
    parts = {part: {n for n in PARAMETERS if in_part(n, part)} for part in ("attention", "mlp")}
    assert len(parts["attention"]) == 4
    assert len(parts["mlp"]) == 8
    assert not parts["attention"] & parts["mlp"]
    assert all(in_part(name, "all") for name in PARAMETERS)


def test_clipping_bounds_each_members_norm():
    step = step_of(members=2, clip_norm=0.5)
    step.compute_gradients(random_batch(step.network))
    views = step.optimiser.gradients.views
    for view in views.values():
        view[1] *= 1e-3
    before = {name: view.clone() for name, view in views.items()}
    step.optimiser.clip()
    norms = sum(view.square().flatten(1).sum(1) for view in views.values()).sqrt()
    assert norms[0].item() == pytest.approx(0.5, rel=1e-5)
    assert norms[1] < 0.5
    assert all(torch.equal(view[1], before[name][1]) for name, view in views.items())


def test_micro_batches_average_to_the_whole_batch():
    whole, parts = step_of(), step_of(micro_batches=4, batch_size=8)
    batch = random_batch(whole.network, 8)
    torch.testing.assert_close(whole(batch), parts(batch), rtol=0, atol=FLOAT32)
    expected = whole.optimiser.gradients.flat
    torch.testing.assert_close(parts.optimiser.gradients.flat, expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("kind", ["squared", "norm", "decoupled"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_members_train_as_they_would_alone(optimizer, kind):
    settings = [
        OptimisationSettings(
            optimizer=optimizer, lr=lr, weight_decay=decay, weight_decay_kind=kind,
            schedule="cosine", warmup_steps=warmup, decay_steps=40, clip_norm=1.0,
        )
        for lr, decay, warmup in [(1e-2, 0.0, 2), (3e-3, 0.1, 5), (1e-2, 0.01, 2)]
    ]  # fmt: skip
    together = TrainingStep(small_network(members=3), settings)
    alone = [TrainingStep(small_network(seed=i), settings[i]) for i in range(3)]
    for index in range(8):
        batch = random_batch(together.network, seed=index)
        losses = together(batch)
        for member, step in enumerate(alone):
            own = step(member_of(batch, member))
            assert own.item() == pytest.approx(losses[member].item(), abs=FLOAT32)
    for member, step in enumerate(alone):
        for name, parameter in step.network.named_parameters():
            both = dict(together.network.named_parameters())[name][member]
            torch.testing.assert_close(parameter[0], both, rtol=0, atol=FLOAT32)


def test_a_diverging_member_leaves_the_others_alone():
    settings = [OptimisationSettings(optimizer="sgd", lr=lr) for lr in (1e30, 1e-3)]
    together = TrainingStep(small_network(members=2), settings)
    alone = TrainingStep(small_network(seed=1), settings[1])
    for index in range(4):
        batch = random_batch(together.network, seed=index)
        losses, own = together(batch), alone(member_of(batch, 1))
        assert own.item() == pytest.approx(losses[1].item(), abs=FLOAT32)
    assert not torch.isfinite(losses[0])


def test_mean_squared_error():
    step = step_of(loss="mse")
    batch = random_batch(step.network)
    logits = step.network(batch.examples, batch.labels).detach()[0]
    wanted = torch.eye(30)[batch.target[0]]
    expected = 0.5 * (logits - wanted).square().sum(-1).mean()
    assert step(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_members_may_differ_in_numbers_only():
    settings = [OptimisationSettings(), OptimisationSettings(loss="mse")]
    with pytest.raises(ValueError, match=r"optimisation.loss = cross_entropy, mse"):
        TrainingStep(small_network(members=2), settings)
    with pytest.raises(ValueError, match="2 settings for 3 members"):
        TrainingStep(small_network(members=3), [OptimisationSettings()] * 2)


def test_moments_too_small_to_matter_become_zero():
    step = step_of(lr=1e-3)
    first, second = step.optimiser.moments
    first.flat[:4] = torch.tensor([1e-30, -1e-27, 1e-20, float("nan")])
    second.flat[:2] = torch.tensor([1e-37, 1e-30])
    step.optimiser.sweep()
    assert torch.equal(first.flat[:3], torch.tensor([0, 0, 1e-20]))
    assert torch.isnan(first.flat[3])
    assert torch.equal(second.flat[:2], torch.tensor([0, 1e-30]))


def test_a_label_that_is_not_drawn_leaves_no_denormal_moments():
    network = small_network(n_labels=30)
    step = TrainingStep(network, OptimisationSettings(lr=1e-4))
    for index in range(1000):
        batch = random_batch(network, 2, seed=index)
        step(batch if index == 0 else clamped(batch, 20))
    values = step.optimiser.moments[0].views["label.weight"].abs()
    assert torch.all(values[0, 21:] == 0)
    assert torch.all(values[0, :21].max(-1).values > 0)


def clamped(batch: Batch, largest: int) -> Batch:
    labels, target = batch.labels.clamp_max(largest), batch.target.clamp_max(largest)
    return Batch(examples=batch.examples, labels=labels, target=target)
