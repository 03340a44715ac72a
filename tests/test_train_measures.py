"""Measures of circuits at networks whose circuits are known; the image encoder; `.eqx` files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from conftest import SHARED_DATA
from small_networks import member_of, random_batch, small_network
from tolerances import FLOAT32

from coopetition.errors import CheckpointError
from coopetition.train.evaluation.measures import measure_circuits
from coopetition.train.network.encoders import ResidualEncoder
from coopetition.train.network.interventions import HeadIntervention, attach
from coopetition.train.reference import read_reference

CHECKPOINT = SHARED_DATA / "reference_checkpoint" / "00000000096.eqx"


def test_forced_heads_have_strength_one():
    network = small_network(members=2)
    attach(
        network,
        [
            HeadIntervention(kind="previous_token", heads=("0.1",)),
            HeadIntervention(kind="matching_label", heads=("1.3",), value=0.8),
        ],
    )
    measures = measure_circuits(network, random_batch(network, 50, context=2))
    np.testing.assert_allclose(measures.previous_token[:, 0, 1], 1, atol=FLOAT32)
    np.testing.assert_allclose(measures.induction[:, 1, 3], 0.6, atol=FLOAT32)
    np.testing.assert_allclose(measures.matching[:, 1, 3], 0, atol=FLOAT32)
    assert np.all(np.abs(measures.induction) <= 1)


def test_a_network_that_looks_everywhere_alike_has_no_induction():
    network = small_network()
    with torch.no_grad():
        for block in network.blocks:
            block.attention.qkv.weight[:, :64] = 0  # queries and keys
    measures = measure_circuits(network, random_batch(network, 20, context=2))
    np.testing.assert_allclose(measures.induction, 0, atol=FLOAT32)
    np.testing.assert_allclose(measures.matching, 0, atol=FLOAT32)
    # label 1 of 2 tokens seen, label 3 of 4: (1/2 + 1/4) / 2
    np.testing.assert_allclose(measures.previous_token, 0.375, atol=FLOAT32)
    assert np.all(measures.query_key == 0)
    assert np.all(measures.mlp == 0)


def test_norms_are_those_of_the_products():
    network = small_network(mlp_ratio=2.0)
    measures = measure_circuits(network, random_batch(network))
    qkv = network.blocks[1].attention.qkv.weight[0].detach()
    out = network.blocks[1].attention.projection.weight[0].detach()
    q, k, v = qkv[8:16], qkv[40:48], qkv[72:80]  # head 1 of four of eight entries, width 32
    assert measures.query_key[0, 1, 1] == pytest.approx((q.T @ k).norm().item(), rel=1e-5)
    assert measures.output_value[0, 1, 1] == pytest.approx(
        (out[:, 8:16] @ v).norm().item(), rel=1e-5
    )
    label = network.label.weight.detach().norm().item()
    assert measures.embeddings[0, 1] == pytest.approx(label, rel=1e-5)
    columns = measures.as_columns(0)
    assert columns["output_value.1.1"] == pytest.approx(measures.output_value[0, 1, 1])
    assert len(columns) == 5 * 2 * 4 + 2 + 3
    with pytest.raises(ValueError, match="read-only"):
        measures.induction[0] = 0


def test_encoded_members_are_those_alone():
    settings = {"input": "image", "encoder": "resnet", "input_dim": 144}
    network = small_network(members=2, **settings)
    batch = random_batch(network, 3)
    together = network(batch.examples, batch.labels)
    for member in range(2):
        alone, part = small_network(seed=member, **settings), member_of(batch, member)
        expected = alone(part.examples, part.labels)
        torch.testing.assert_close(together[member : member + 1], expected, rtol=0, atol=1e-4)


def test_encoded_images_do_not_depend_on_the_rest_of_the_batch():
    encoder = ResidualEncoder(1, 64, 8)
    encoder.initialise([torch.Generator().manual_seed(0)])
    images = torch.randn(1, 4, 2, 64, generator=torch.Generator().manual_seed(1))
    together = encoder(images)
    assert together.shape == (1, 4, 2, 8)
    torch.testing.assert_close(encoder(images[:, 2:3]), together[:, 2:3], rtol=0, atol=FLOAT32)


def test_images_must_be_square():
    with pytest.raises(ValueError, match="such as 49"):
        ResidualEncoder(1, 50, 8)


@pytest.mark.skipif(not CHECKPOINT.exists(), reason=f"no reference checkpoint at {CHECKPOINT}")
class TestReferenceCheckpoint:
    """The reference's own file, whole and damaged."""

    def test_logits_are_the_references(self):
        checkpoint = read_reference(CHECKPOINT)
        assert (checkpoint.steps, checkpoint.sequences) == (96, 96 * 32)
        assert "after 3,072 sequences" in checkpoint.summary()
        with np.load(CHECKPOINT.with_name("expected.npz")) as expected:
            logits = checkpoint.network(expected["examples"], expected["labels"])
            wanted = expected["logits"][:, -1]
        np.testing.assert_allclose(logits.detach().numpy(), wanted, rtol=0, atol=FLOAT32)

    def test_damage_is_said(self, tmp_path):
        config = json.loads(CHECKPOINT.with_name("config.json").read_text())
        content = CHECKPOINT.read_bytes()
        path = tmp_path / "a.eqx"
        path.write_bytes(content[:-2_000])
        with pytest.raises(CheckpointError, match=r"no config\.json beside it"):
            read_reference(path)
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match="damaged checkpoint of the reference"):
            read_reference(path)
        path.write_bytes(content)
        (tmp_path / "config.json").write_text(json.dumps({**config, "depth": 9}))
        with pytest.raises(CheckpointError):
            read_reference(path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(CheckpointError, match="damaged configuration of the reference"):
            read_reference(path)
        with pytest.raises(CheckpointError, match=r"no config\.json"):
            read_reference(tmp_path / "there" / "is" / "none.eqx")
