"""What an ensemble is made of: every kind of input, weights from elsewhere, settings that fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coopetition.errors import CheckpointError
from coopetition.settings.training import DataSettings, TrainingSettings
from coopetition.train.data import make_dataset
from coopetition.train.ensemble import Ensemble, network_settings
from coopetition.train.folder.checkpoints import read_weights
from coopetition.train.loop import train
from coopetition.train.reference import read_reference

CPU = torch.device("cpu")
REFERENCE = Path(__file__).parents[1] / "../shared/data/reference_checkpoint/00000000096.eqx"

GLYPHS = {"kind": "glyphs", "n_classes": 6, "n_exemplars": 2, "image_size": 16}


def settings(**sections):
    return TrainingSettings(
        **{
            "name": "x",
            "data": {"n_classes": 12, "n_exemplars": 3, "dim": 4},
            "network": {"width": 8, "heads": 2},
            "optimisation": {"batch_size": 4, "lr": 1e-2},
            "evaluation": {"n_sequences": 10, "every": 16},
            "run": {"sequences": 32, "block": 3},
            **sections,
        }
    )


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"kind": "onehot", "n_classes": 9, "n_exemplars": 1}},
        {"data": GLYPHS},
        {
            "data": GLYPHS,
            "network": {"width": 8, "heads": 2, "input": "image", "encoder": "resnet"},
        },
        {"sequences": {"context_len": 8, "burstiness": 3}},
        {"sequences": {"labels": "random"}},
        {"sequences": {"mixture": [{"labels": "random"}, {"share": 0.5, "burstiness": 0}]}},
        {"sequences": {"input_noise": 0.3, "label_noise": 0.1, "zipf_exponent": 1.0}},
        {"data": {"n_classes": 12, "n_exemplars": 3, "dim": 4, "n_labels": 5}},
        {
            "optimisation": {
                "batch_size": 4,
                "micro_batches": 2,
                "loss": "mse",
                "optimizer": "adamw",
            }
        },
        {"evaluation": {"extra": [{"name": "long", "context_len": 5}], "every": 16}},
    ],
    ids=lambda sections: next(iter(sections)),
)
def test_every_kind_of_run_trains_and_is_measured(tmp_path, sections):
    (run,) = train(settings(**sections), tmp_path / "run", progress=False, device="cpu")
    losses = run.curves.curve("train", "loss").values
    assert np.isfinite(losses).all()
    assert losses[0] != losses[-1]
    (again,) = train(settings(**sections), tmp_path / "again", progress=False, device="cpu")
    assert np.array_equal(again.curves.curve("train", "loss").values, losses)


def test_the_network_takes_its_shape_from_the_data():
    chosen = settings(evaluation={"extra": [{"name": "long", "context_len": 5}]})
    network = network_settings(chosen, make_dataset(chosen.data))
    assert (network.n_labels, network.input_dim, network.max_context_len) == (12, 4, 5)
    images = network_settings(chosen, make_dataset(DataSettings(**GLYPHS)))
    assert (images.input, images.input_dim) == ("image", 256)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"input_dim": 5}, "network.input_dim = 5: the data have 4 entries"),
        ({"n_labels": 11}, "network.n_labels = 11: the data have 12 labels"),
        ({"max_context_len": 1}, "sequences have up to 2 pairs"),
        ({"input": "image", "encoder": "resnet"}, "needs input = 'image'"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(network, says):
    with pytest.raises(ValueError, match=r".") as caught:
        Ensemble([settings(network={"width": 8, "heads": 2, **network})], CPU)
    assert says in str(caught.value)


def test_weights_of_one_member_can_be_chosen(tmp_path):
    members = [settings(), settings(name="y", run={"seed": 1, "sequences": 32, "block": 3})]
    train(members, tmp_path / "both", progress=False, device="cpu")
    with pytest.raises(CheckpointError, match="holds 2 networks"):
        read_weights(str(tmp_path / "both"))
    one, other = (read_weights(f"{tmp_path / 'both'}#{i}") for i in range(2))
    assert not torch.equal(one["label.weight"], other["label.weight"])
    with pytest.raises(CheckpointError, match="numbered 0 to 1"):
        read_weights(f"{tmp_path / 'both'}#2")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        read_weights(str(tmp_path))


def test_the_optimizers_state_can_be_taken_along(tmp_path):
    train(settings(), tmp_path / "first", progress=False, device="cpu")
    for start_with, steps in (("weights", 0), ("optimizer", 8)):
        start = {"start_from": str(tmp_path / "first"), "start_with": start_with}
        ensemble = Ensemble([settings(intervention=start)], CPU)
        assert int(ensemble.step.state_tensors()["steps"]) == steps


def test_a_graft_stays_while_the_rest_trains(tmp_path):
    train(settings(), tmp_path / "donor", progress=False, device="cpu")
    donor = read_weights(str(tmp_path / "donor"))
    graft = {"graft_from": str(tmp_path / "donor"), "graft_above": 1}
    chosen = settings(intervention=graft, run={"seed": 3, "sequences": 32, "block": 3})
    train(chosen, tmp_path / "run", progress=False, device="cpu")
    trained = read_weights(str(tmp_path / "run"))
    for name in donor:
        kept = name.startswith(("blocks.1.", "norm.", "unembedding."))
        assert torch.equal(trained[name], donor[name]) == kept, name


def test_a_run_starts_from_the_references_checkpoint():
    if not REFERENCE.exists():
        pytest.skip("the reference's checkpoint is not beside this checkout")
    reference = read_reference(REFERENCE).network.settings
    chosen = settings(
        data={"n_classes": reference.n_labels, "n_exemplars": 2, "dim": reference.input_dim},
        network={
            name: getattr(reference, name)
            for name in ("depth", "width", "heads", "mlp_ratio", "positions", "time_scale")
        },
        intervention={"start_from": str(REFERENCE)},
    )
    ensemble = Ensemble([chosen], CPU)
    started = dict(ensemble.step.network.named_parameters())
    for name, weight in read_weights(str(REFERENCE)).items():
        assert torch.equal(started[name][0], weight), name
    with pytest.raises(CheckpointError, match="start_with = weights"):
        Ensemble(
            [
                chosen.replace(
                    intervention={"start_from": str(REFERENCE), "start_with": "optimizer"}
                )
            ],
            CPU,
        )
