"""The network against the reference's, and its members against themselves alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SHARED_DATA
from small_networks import member_of, random_batch, small_network
from tolerances import ADAM_LOSS, FLOAT32, GRADIENT

from coopetition.errors import CheckpointError
from coopetition.settings.training import NetworkSettings, OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.network.layers import Rotation, embedding_, lecun_normal_, sinusoidal_table
from coopetition.train.network.network import Network, build_network
from coopetition.train.reference import network_from_parameters, our_name, our_parameters
from coopetition.train.sequences.batch import Batch

CASES = ("ape1", "ape2", "rope2", "sin4mlp")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a reference network is and what it computes."""
    folder = SHARED_DATA / "network_parity"
    if not folder.exists():
        pytest.skip(f"no reference networks at {folder}")
    with np.load(folder / f"{request.param}.npz") as archive:
        return json.loads((folder / f"{request.param}.json").read_text()), dict(archive)


def ours(case: tuple[dict[str, Any], dict[str, Any]]) -> Network:
    meta, arrays = case
    return network_from_parameters(
        {n.removeprefix("param."): a for n, a in arrays.items() if n.startswith("param.")},
        depth=meta["depth"],
        heads=meta["heads"],
        positions=meta["pos"],
        time_scale=meta["sin"],
    )


def reference_batch(arrays: dict[str, Any], index: int) -> Batch:
    labels = torch.from_numpy(arrays["labels"][index]).long()[None]
    return Batch(
        examples=torch.from_numpy(arrays["examples"][index])[None],
        labels=labels[..., :-1],
        target=labels[..., -1],
    )


def test_logits_and_attention_are_the_references(case):
    network, (_, arrays) = ours(case), case
    examples, labels = arrays["examples"][0], arrays["labels"][0]
    logits = network(examples, labels).detach().numpy()
    np.testing.assert_allclose(logits, arrays["logits_all"][:, -1], rtol=0, atol=FLOAT32)
    for layer, pattern in enumerate(network.attention(examples, labels)):
        expected = arrays[f"attention_layer{layer}"]
        np.testing.assert_allclose(pattern.detach().numpy(), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("way", ["compute_gradients", "differentiate"])
def test_gradients_are_the_references(case, way):
    step = TrainingStep(ours(case), OptimisationSettings())
    loss = getattr(step, way)(reference_batch(case[1], 0))
    assert loss.item() == pytest.approx(float(case[1]["loss"]), abs=FLOAT32)
    expected = our_parameters(
        {n.removeprefix("grad."): a for n, a in case[1].items() if n.startswith("grad.")}
    )
    assert expected.keys() == step.optimiser.gradients.views.keys()
    for name, gradient in step.optimiser.gradients.views.items():
        error = np.linalg.norm(gradient[0].numpy() - expected[name])
        assert error <= GRADIENT * np.linalg.norm(expected[name]), name


def test_eight_adam_steps_are_the_references(case):
    step = TrainingStep(ours(case), OptimisationSettings(lr=1e-3))
    losses = [step(reference_batch(case[1], i)).item() for i in range(8)]
    np.testing.assert_allclose(losses, case[1]["adam_lr1e-3_losses"], rtol=0, atol=ADAM_LOSS)
    logits = step.network(case[1]["examples"][0], case[1]["labels"][0]).detach().numpy()
    np.testing.assert_allclose(logits, case[1]["adam_final_logits"][:, -1], rtol=0, atol=1e-4)


def test_members_compute_what_they_compute_alone():
    network = small_network(members=3, positions="rotary", mlp_ratio=2.0)
    batch = random_batch(network)
    together = network(batch.examples, batch.labels)
    for member in range(3):
        alone = small_network(seed=member, positions="rotary", mlp_ratio=2.0)
        part = member_of(batch, member)
        expected = alone(part.examples, part.labels)
        torch.testing.assert_close(together[member : member + 1], expected, rtol=0, atol=FLOAT32)


def test_the_members_axis_may_be_left_out():
    network = small_network()
    batch = random_batch(network)
    single = network(batch.examples[0], batch.labels[0].tolist())
    assert torch.equal(single, network(batch.examples, batch.labels)[0])
    assert network.attention(batch.examples[0], batch.labels[0])[0].shape == (7, 4, 5, 5)


def test_nothing_looks_ahead_and_rows_sum_to_one():
    network = small_network(depth=3, positions="none")
    batch = random_batch(network, context=4)
    for pattern in network.attention(batch.examples, batch.labels):
        assert torch.all(pattern.triu(1) == 0)
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]))


def test_onehot_exemplars_are_looked_up():
    network = small_network(input="onehot", input_dim=5)
    assert network.exemplar.bias is None
    shown = network.exemplar(torch.eye(5)[None, None])
    torch.testing.assert_close(shown[0, 0], network.exemplar.weight[0].T)


def test_starting_weights_have_the_stated_spread():
    settings = NetworkSettings(n_labels=4000, input_dim=200)
    network = build_network(settings, [torch.Generator().manual_seed(0)])
    spread = {name: weight.std().item() for name, weight in network.named_parameters()}
    assert spread["unembedding.weight"] == pytest.approx(64**-0.5, rel=0.02)
    assert spread["exemplar.weight"] == pytest.approx(200**-0.5, rel=0.03)
    assert spread["label.weight"] == pytest.approx(0.02 * 0.8796, rel=0.02)
    assert network.label.weight.abs().max() <= 0.04
    assert network.position.abs().max() <= 32**-0.5


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"mlp_ratio": 2.0, "bias": True},
        {"input": "image", "encoder": "resnet", "input_dim": 64},
    ],
)
def test_the_initial_scale_multiplies_what_is_drawn_and_nothing_else(architecture):
    settings = NetworkSettings(**{"n_labels": 30, "input_dim": 12, "width": 32, **architecture})

    def weights(**changes):
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
        return dict(build_network(settings.replace(**changes), generators).named_parameters())

    plain, scaled = weights(), weights(init_scale=0.5)
    for name, weight in plain.items():
        fixed = "norm" in name or name.endswith("bias")
        assert torch.equal(scaled[name], weight if fixed else 0.5 * weight), name


def test_the_default_initial_scale_leaves_every_bit_of_what_is_drawn():
    settings = NetworkSettings(n_labels=30, input_dim=12, width=32)
    network = build_network(settings, [torch.Generator().manual_seed(3)])
    generators = [torch.Generator().manual_seed(3)]
    exemplar, label = torch.zeros(1, 32, 12), torch.zeros(1, 30, 32)
    lecun_normal_(exemplar, 12, generators)
    embedding_(label, generators)
    assert torch.equal(network.exemplar.weight, exemplar)
    assert torch.equal(network.label.weight, label)


def test_a_member_starts_as_it_would_alone():
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    settings = NetworkSettings(n_labels=9, input_dim=3)
    both = build_network(settings, generators)
    alone = build_network(settings, [torch.Generator().manual_seed(4)])
    for first, second in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(first[1], second[0])


def test_positions_at_known_points():
    table = sinusoidal_table(4, 6, 100.0)
    third = 3 / 100 ** (2 / 3)
    expected = [np.sin(3), np.cos(3), np.sin(3 / 100 ** (1 / 3)), np.cos(3 / 100 ** (1 / 3))]
    expected += [np.sin(third), np.cos(third)]
    np.testing.assert_allclose(table[3].numpy(), expected, atol=FLOAT32)
    turn = Rotation(8, 2, 100.0)
    x, y = torch.tensor([[1.0, 0.5]]), torch.tensor([[-0.3, 2.0]])
    # a score depends on the distance alone
    near, far = (turn(x, 2) * turn(y, 4)).sum(), (turn(x, 5) * turn(y, 7)).sum()
    torch.testing.assert_close(near, far)


@pytest.mark.parametrize(
    ("examples", "labels", "says"),
    [
        ((7, 3, 11), (7, 2), "input_dim = 12"),
        ((7, 3, 12), (7, 4), "labels of shape"),
        ((2, 7, 3, 12), (2, 7, 2), r"expected \(1, batch"),
        ((7, 40, 12), (7, 39), "raise network.max_context_len"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(examples, labels, says):
    with pytest.raises(ValueError, match=says):
        small_network()(torch.zeros(examples), torch.zeros(labels))


def test_architecture_must_be_complete():
    with pytest.raises(ValueError, match=r"network.n_labels = 0"):
        Network(NetworkSettings(input_dim=3))


def test_reference_names():
    assert our_name("transformer.blocks[3].mlp.fc2.bias") == "blocks.3.mlp.outer.bias"
    with pytest.raises(ValueError, match=r"did you mean 'unembed\.weight'"):
        our_name("unembd.weight")
    with pytest.raises(CheckpointError, match="hold no label_embed"):
        network_from_parameters({}, depth=1, heads=1, positions="ape")


def test_renaming_the_labels_renames_the_answers():
    network, renamed = small_network(), small_network()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for part in (renamed.label.weight, renamed.unembedding.weight, renamed.unembedding.bias):
            part[:, order] = part.clone()
    batch = random_batch(network)
    logits = renamed(batch.examples, order[batch.labels])
    expected = network(batch.examples, batch.labels)
    torch.testing.assert_close(logits[..., order], expected, rtol=0, atol=FLOAT32)
