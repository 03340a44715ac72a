"""Steps, sequences and evaluations that never wait for their device, as a CUDA graph demands."""

import numpy as np
import pytest
import torch
from recorded_graphs import NoWaiting, WaitsForDevice
from short_runs import small
from small_networks import random_batch, small_network

from coopetition.settings.training import OptimisationSettings, TrainingSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.data import make_dataset
from coopetition.train.ensemble import Ensemble
from coopetition.train.network.interventions import HeadIntervention
from coopetition.train.optimisation.schedules import Rates
from coopetition.train.sequences.batch import Batch, Exemplars
from coopetition.train.sequences.batches import sequence_draws

CPU = torch.device("cpu")

STEPS = {
    "plain": {},
    "schedule, decay": {"schedule": "warmup_decay", "weight_decay": 0.1, "warmup_steps": 3},
    "norm decay, clipped": {"weight_decay": 0.1, "weight_decay_kind": "norm", "clip_norm": 1.0},
    "sgd, mse": {"optimizer": "sgd", "loss": "mse", "micro_batches": 2, "batch_size": 8},
}
NETWORKS = {
    "attention only": {},
    "mlp, rotary": {"mlp_ratio": 2.0, "positions": "rotary", "bias": True},
    "sinusoidal": {"positions": "sinusoidal", "final_norm": False},
}
EDITS = [
    HeadIntervention(kind=kind, heads=("1.1", "0.0"), value=0.5)
    for kind in (
        "ablate", "previous_token", "matching_label", "forbid_previous_token",
        "forbid_matching_label", "temperature",
    )
]  # fmt: skip


@pytest.mark.parametrize("optimisation", STEPS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_step_never_waits_for_its_device(network, optimisation, device):
    """On ``meta`` nothing has a value, so nothing can depend on one; nothing comes from the CPU."""
    built = small_network(members=2, **NETWORKS[network])
    settings = [OptimisationSettings(**{**STEPS[optimisation], "lr": lr}) for lr in (1e-2, 1e-3)]
    step = TrainingStep(
        built, settings, device=device, kernels="plain",
        interventions=EDITS if network == "attention only" else (),
    )  # fmt: skip
    batch = random_batch(built, 8)
    batch = Batch(
        examples=batch.examples.to(device),
        labels=batch.labels.to(device),
        target=batch.target.to(device),
    )
    total = torch.zeros(2, dtype=torch.float64, device=device)
    with NoWaiting() as watched:
        total.add_(step.compute(batch))
    assert watched.operations > 50


@pytest.mark.parametrize(
    "sequences",
    [
        {"match_probability": 0.5, "label_noise": 0.2, "zipf_exponent": 1.0},
        {"context_len": 8, "burstiness": 3, "bursty_share": 0.7, "no_support": True},
        {"context_len": 4, "burstiness": 1, "unique_rest": True, "labels": "swapped"},
        {"labels": "random"},
        {"labels": "binary"},
        {"burstiness": 0, "labels": "query_copied", "no_support": True},
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_sequences_are_drawn_without_waiting(sequences, device):
    settings = TrainingSettings(
        data={"n_classes": 20, "n_exemplars": 3, "dim": 4}, sequences=sequences
    )
    dataset, given = make_dataset(settings.data), settings.sequences
    draws = sequence_draws(
        dataset, settings.data, given.kinds, context_len=given.context_len,
        match_probability=given.match_probability, label_noise=given.label_noise,
        zipf_exponent=given.zipf_exponent, device=device,
    )  # fmt: skip
    exemplars = Exemplars(dataset, torch.device(device))
    generator = torch.Generator() if device == "cpu" else None
    with NoWaiting():
        drawn = draws.draw(50, generator)
        exemplars.show(drawn.classes, drawn.exemplars)


@pytest.mark.parametrize("kind", ["gaussian", "onehot", "glyphs"])
def test_blocks_are_shown_without_waiting_and_batch_by_batch(kind):
    data = {"kind": kind, "n_classes": 12, "n_exemplars": 1, "dim": 4, "image_size": 16}
    members = [
        small("a", data=data),
        small("b", 2, data=data, sequences={"input_noise": 0.0 if kind == "onehot" else 0.3}),
    ]
    whole, piecewise = Ensemble(members, CPU).stream, Ensemble(members, CPU).stream
    piecewise.shows_whole_blocks = False
    with NoWaiting():
        expected = [next(whole) for _ in range(16)]  # of blocks of seven
        room = Batch(
            examples=torch.zeros(16, *expected[0].examples.shape),
            labels=torch.zeros(16, *expected[0].labels.shape, dtype=torch.int64),
            target=torch.zeros(16, *expected[0].target.shape, dtype=torch.int64),
        )
        piecewise.fill(room, 9)
    later = [next(piecewise) for _ in range(7)]
    for place, batch in enumerate(expected):
        for name in ("examples", "labels", "target"):
            own = getattr(room, name)[place] if place < 9 else getattr(later[place - 9], name)
            assert torch.equal(own, getattr(batch, name))


def test_the_watch_for_waiting_sees_it():
    values = torch.arange(4.0)
    for wait in (
        lambda: values.sum().item(),
        lambda: bool(values[0] > 1),
        lambda: values[values > 1],
        lambda: values.nonzero(),
        lambda: values.to("meta"),
    ):
        with NoWaiting(), pytest.raises(WaitsForDevice):
            wait()


@pytest.mark.parametrize("schedule", ["constant", "warmup_decay", "cosine"])
def test_rates_of_an_ensemble_are_each_members_own(schedule):
    settings = [
        OptimisationSettings(
            lr=lr, schedule=schedule, warmup_steps=warmup, decay_steps=40, lr_floor=floor
        )
        for lr, warmup, floor in [(1e-3, 7, 1e-5), (3e-4, 0, 1.0), (1e-2, 13, 0.0)]
    ]
    rates = Rates(settings, CPU)
    for done in (0, 1, 7, 8, 39, 40, 100):
        steps = torch.tensor(done)
        own = [Rates([member], CPU)(steps) for member in settings]
        assert torch.equal(rates(steps), torch.cat(own))


def test_evaluating_transfers_once(monkeypatch):
    moved = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append(self) or original(self))
    ensemble = Ensemble([small("a", 1), small("b", 2)], CPU)
    moved.clear()
    with NoWaiting():  # a CPU's own transfer is none
        values = ensemble.evaluate()
    assert len(moved) == 1
    assert len(values) == 2
    assert np.isfinite(values[1]["flip"]["loss"]).all()
