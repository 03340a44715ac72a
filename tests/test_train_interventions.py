"""Interventions do what their names say, and nothing else."""

from __future__ import annotations

import pytest
import torch
from small_networks import random_batch, small_network
from tolerances import FLOAT32

from coopetition.errors import CheckpointError
from coopetition.settings.training import InterventionSettings, OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.network.interventions import (
    Freeze,
    Graft,
    HeadIntervention,
    attach,
    from_settings,
)
from coopetition.train.sequences.batch import Batch


def patterns(kind: str, heads: tuple[str, ...], value: float = 1.0, context: int = 3):
    """Patterns before and after an intervention, and the batch."""
    network = small_network()
    batch = random_batch(network, context=context)
    arguments = (batch.examples, batch.labels, batch.target)
    before = network.attention(*arguments)
    attach(network, [HeadIntervention(kind=kind, heads=heads, value=value)])
    return before, network.attention(*arguments), batch


def test_other_heads_of_the_first_layer_stay():
    for kind in ("ablate", "previous_token", "matching_label", "forbid_previous_token"):
        before, after, _ = patterns(kind, ("0.1", "0.2"))
        assert torch.equal(before[0][:, :, [0, 3]], after[0][:, :, [0, 3]])
        assert not torch.equal(before[0][:, :, [1, 2]], after[0][:, :, [1, 2]])


def test_previous_token():
    _, after, _ = patterns("previous_token", ("0.1",), value=0.75)
    forced = after[0][0, 0, 1]
    torch.testing.assert_close(forced.diagonal(-1), torch.full((6,), 0.75))
    assert forced.diagonal().tolist() == [1.0] + [0.25] * 6
    torch.testing.assert_close(forced.sum(-1), torch.ones(7))


def test_forbidden_previous_token():
    before, after, _ = patterns("forbid_previous_token", ("1.0",))
    assert torch.all(after[1][:, :, 0].diagonal(offset=-1, dim1=-2, dim2=-1) == 0)
    torch.testing.assert_close(after[1][:, :, 0].sum(-1), torch.ones(1, 7, 7))
    kept = after[1][0, 0, 0, -1] * (1 - before[1][0, 0, 0, -1, -2])  # what is left is shared
    torch.testing.assert_close(kept[:-2], before[1][0, 0, 0, -1, :-2])


def test_matching_label():
    _, after, batch = patterns("matching_label", ("1.2",), value=0.9)
    query = after[1][0, :, 2, -1]
    match = (batch.labels == batch.target[..., None])[0]
    assert torch.all(query[:, 0::2] == 0)
    torch.testing.assert_close(query[:, 1::2], torch.where(match, 0.9, 0.05))


def test_matching_label_without_a_match_goes_to_the_others():
    network = small_network()
    batch = random_batch(network)
    attach(network, [HeadIntervention(kind="matching_label", heads=("1.0",))])
    absent = torch.full_like(batch.target, 29)
    labels = batch.labels.clamp_max(28)
    query = network.attention(batch.examples, labels, absent)[1][0, :, 0, -1]
    torch.testing.assert_close(query[:, 1::2], torch.full((7, 2), 0.5))


def test_forbidden_matching_label():
    _, after, batch = patterns("forbid_matching_label", ("1.0", "1.1", "1.2", "1.3"))
    match = (batch.labels == batch.target[..., None])[0, :, None, :].expand(7, 4, 3)
    assert torch.all(after[1][0, :, :, -1, 1::2][match] == 0)
    torch.testing.assert_close(after[1].sum(-1), torch.ones(1, 7, 4, 7))


def test_temperature_sharpens_and_softens():
    before, after, _ = patterns("temperature", ("0.0",), value=1e4)
    torch.testing.assert_close(after[0][0, :, 0, -1], torch.full((7, 7), 1 / 7), rtol=0, atol=1e-3)
    _, sharp, _ = patterns("temperature", ("0.0",), value=1e-4)
    torch.testing.assert_close(sharp[0][0, :, 0].max(-1).values, torch.ones(7, 7))
    assert torch.equal(sharp[0][0, :, 0].argmax(-1), before[0][0, :, 0].argmax(-1))


def test_an_ablated_head_could_as_well_have_no_output_weights():
    network, silent = small_network(), small_network()
    attach(network, [HeadIntervention(kind="ablate", heads=("0.3", "1.0"))])
    with torch.no_grad():
        silent.blocks[0].attention.projection.weight[:, :, 24:] = 0
        silent.blocks[1].attention.projection.weight[:, :, :8] = 0
    batch = random_batch(network)
    expected = silent(batch.examples, batch.labels)
    torch.testing.assert_close(network(batch.examples, batch.labels), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "kind",
    ["previous_token", "matching_label", "forbid_previous_token", "forbid_matching_label",
     "temperature"],
)  # fmt: skip
def test_the_query_alone_equals_the_whole_sequence(kind):
    network = small_network()
    batch = random_batch(network)
    attach(network, [HeadIntervention(kind=kind, heads=("0.0", "1.1"), value=0.7)])
    inputs = (batch.examples, batch.labels, batch.target)
    whole, _ = network.hidden(*inputs, last_only=False)
    torch.testing.assert_close(network(*inputs), network.unembedding(whole), rtol=0, atol=FLOAT32)


def test_edited_heads_train_with_finite_gradients():
    for kind in ("ablate", "forbid_previous_token", "forbid_matching_label", "matching_label"):
        part = HeadIntervention(kind=kind, heads=("1.0",))
        step = TrainingStep(small_network(), OptimisationSettings(lr=1e-3), interventions=[part])
        assert step.choice.reason == "heads are edited"
        step(random_batch(step.network))
        assert torch.isfinite(step.optimiser.parameters.flat).all()


def test_frozen_parts_stay_and_the_rest_moves():
    freeze = Freeze(prefixes=("label", "blocks.0.attention"))
    settings = OptimisationSettings(lr=1e-2, weight_decay=0.1, weight_decay_kind="decoupled")
    step = TrainingStep(small_network(), settings, interventions=[freeze])
    before = {name: p.detach().clone() for name, p in step.network.named_parameters()}
    step(random_batch(step.network))
    for name, after in step.network.named_parameters():
        assert torch.equal(after, before[name]) == name.startswith(freeze.prefixes), name


@pytest.mark.parametrize(
    ("below", "above", "grafted"),
    [
        (1, None, ("exemplar", "label", "position", "blocks.0")),
        (None, 1, ("blocks.1", "norm", "unembedding")),
        (0, 2, ("exemplar", "label", "position", "norm", "unembedding")),
    ],
)
def test_grafted_layers_are_the_others_and_stay(below, above, grafted):
    donor = dict(small_network(seed=8).named_parameters())
    graft = Graft(weights={n: p.detach()[0] for n, p in donor.items()}, below=below, above=above)
    step = TrainingStep(small_network(), OptimisationSettings(lr=1e-2), interventions=[graft])
    fresh = TrainingStep(small_network(seed=3), OptimisationSettings())
    step.load_state_tensors(fresh.state_tensors())  # a start from elsewhere leaves the graft
    step(random_batch(step.network))
    for name, after in step.network.named_parameters():
        assert torch.equal(after, donor[name]) == name.startswith(grafted), name


def test_settings_become_interventions():
    settings = InterventionSettings(
        ablate_heads=("0.1",), head_temperatures={"1.2": 2.0}, freeze=("norm",)
    )
    assert from_settings(settings) == (
        HeadIntervention(kind="ablate", heads=("0.1",)),
        HeadIntervention(kind="temperature", heads=("1.2",), value=2.0),
        Freeze(prefixes=("norm",)),
    )
    with pytest.raises(ValueError, match="give its weights as graft"):
        from_settings(InterventionSettings(graft_from="x", graft_above=1))


def test_what_does_not_exist_is_refused():
    network, batch = small_network(), random_batch(small_network())
    with pytest.raises(ValueError, match=r"unknown head '2\.0'"):
        attach(network, [HeadIntervention(kind="ablate", heads=("2.0",))])
    with pytest.raises(ValueError, match="unknown intervention"):
        attach(network, [HeadIntervention(kind="abblate", heads=("0.0",))])
    with pytest.raises(ValueError, match="did you mean 'norm"):
        attach(network, [Freeze(prefixes=("nrom.weight",))])
    with pytest.raises(ValueError, match="below = 3"):
        attach(network, [Graft(weights={}, below=3)])
    with pytest.raises(CheckpointError, match="is missing in the other network"):
        attach(network, [Graft(weights={}, above=1)])
    attach(network, [HeadIntervention(kind="matching_label", heads=("1.0",))])
    with pytest.raises(ValueError, match="target = None"):
        network(batch.examples, batch.labels)
    assert isinstance(batch, Batch)
