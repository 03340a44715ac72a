"""Maps from settings to parameters: covariates, what the default map says, and maps on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coopetition.errors import CoopetitionError
from coopetition.forecasting.settings_map import default_map, load_map, save_map, small_map
from coopetition.forecasting.theories import Logistics
from coopetition.logs import published_runs, read_curves
from coopetition.settings.covariates import (
    COVARIATES,
    covariates,
    data_kind,
    head_start,
    time_scale_of,
    unusable,
)
from coopetition.settings.names import settings_of_ours, settings_of_reference
from coopetition.settings.presets import preset, preset_names
from coopetition.settings.training import TrainingSettings
from coopetition.settings.yaml_files import as_plain

BASE = {
    "depth": 2, "width": 64, "mlp_ratio": 0.0, "positions": "learned", "n_classes": 12800,
    "n_exemplars": 20, "context_len": 2, "burstiness": 1, "lr": 1e-5, "batch_size": 32,
    "weight_decay": 0.0, "match_probability": 0.0, "data": "bursty", "start": "scratch",
}  # fmt: skip


def test_the_base_is_0_in_every_covariate():
    assert {value for value in covariates(BASE).values() if value is not None} == {0.0}


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"n_classes": 1600}, "classes", -3.0),
        ({"n_exemplars": 5}, "exemplars", -2.0),
        ({"match_probability": 1.0}, "matching", np.log(0.02 / 1.02)),
        ({"mlp_ratio": 4.0}, "mlp", 1.0),
        ({"depth": 1}, "one_layer", 1.0),
        ({"depth": 8}, "depth", 2.0),
        ({"positions": "rotary"}, "fixed_positions", 1.0),
        ({"positions": "rotary", "depth": 12}, "fixed_positions", 0.0),
        ({"lr": 1e-4}, "time_scale", -np.log(10)),
        ({"batch_size": 64}, "time_scale", np.log(2)),
        ({"start": "ciwl_only at 4e6"}, "head_start", 0.4),
        ({"label_noise": 0.1}, "label_noise", 1.0),
        ({"lr": None}, "time_scale", None),
        ({"match_error": 0.1}, "match_error", 0.0),
        ({"match_error": 0.0}, "match_error", np.log(0.005 / 0.105)),
    ],
)
def test_a_setting_becomes_its_covariate(change, name, value):
    assert covariates({**BASE, **change})[name] == pytest.approx(value)


def test_settings_of_every_trainer_become_the_same_covariates():
    ours = settings_of_ours(
        {"data": {"n_classes": 3200, "spread": 1.0}, "optimisation": {"lr": 3e-4}}
    )
    theirs = settings_of_reference({"class_split": [3200], "lr": 3e-4, "train_bs": 32})
    assert covariates(ours)["classes"] == covariates(theirs)["classes"] == -2.0
    assert covariates(ours)["spread"] == 1.0
    assert data_kind(ours) == "gaussian"
    assert data_kind(theirs) == "unknown"
    for file, kind in (("omniglot_resnet18.h5", "omniglot"), ("gaussian_3200x20.h5", "gaussian")):
        assert data_kind(settings_of_reference({"train_bs": 32, "data_file": file})) == kind
    assert data_kind(BASE) == "omniglot"
    assert time_scale_of(theirs) == pytest.approx(1 / 30)


def test_runs_of_another_kind_are_told_apart():
    assert unusable(BASE) is None
    assert unusable({**BASE, "start": "ciwl_only at 6e6"}) is None
    assert head_start({"start": "ciwl_only at 6e6"}) == 6e6
    assert "icl_only" in str(unusable({**BASE, "data": "icl_only"}))
    assert "started from" in str(unusable({**BASE, "start": "layer 2 of main"}))


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("sequences", {"labels": "random"}),
        ("sequences", {"labels": "swapped"}),
        ("sequences", {"labels": "query_copied", "burstiness": 0, "no_support": True}),
        ("sequences", {"burstiness": 0}),
        ("sequences", {"bursty_share": 0.1}),
        ("sequences", {"mixture": ({"labels": "random"}, {"labels": "true"})}),
        ("sequences", {"unique_rest": True}),
        ("sequences", {"distractor": False}),
        ("intervention", {"start_from": "runs/ciwl-only/checkpoints/4000000"}),
        ("intervention", {"freeze": ("blocks.0",)}),
        ("intervention", {"ablate_heads": ("0.1",)}),
        ("intervention", {"head_temperatures": {"1.0": 0.5}}),
        ("intervention", {"graft_from": "other", "graft_above": 0}),
        ("optimisation", {"reinitialise_embeddings_every": 100}),
        ("optimisation", {"weight_decay": 0.3, "weight_decay_on": "mlp"}),
        ("optimisation", {"weight_decay": 0.3, "weight_decay_on": "encoder"}),
    ],
)
def test_our_runs_of_another_kind_are_told_apart_too(section, change):
    sections = {"network": {"mlp_ratio": 4.0}, section: change}  # so that there is an MLP to decay
    settings = settings_of_ours(as_plain(TrainingSettings(**sections)))
    reason = unusable(settings)
    assert reason is not None
    if settings["burstiness"]:
        assert any(reason in note for note in default_map().predict(settings).notes)


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_of_the_kind_that_maps_describe_unless_their_name_says_otherwise(name):
    settings = settings_of_ours(as_plain(preset(name)))
    assert settings["data"] == {"icl-only": "icl_only", "ciwl-only": "ciwl_only"}.get(
        name, "bursty"
    )
    assert (unusable(settings) is None) == (settings["data"] == "bursty")


def test_settings_that_a_file_leaves_out_are_those_of_a_plain_run():
    short = settings_of_ours({"network": {"width": 32}})
    assert (short["data"], short["start"]) == ("bursty", "scratch")
    assert "intervention" not in short
    assert unusable(short) is None


def test_a_kind_of_data_that_no_run_has_is_said_of_the_base_kind_too():
    (main,) = read_curves("published:main")
    assert any("omniglot" in note for note in small_map().predict(main.settings).notes)
    assert not any("omniglot" in note for note in default_map().predict(main.settings).notes)


def test_the_default_map_knows_its_runs():
    settings_map = default_map()
    assert {run.run for run in settings_map.runs} | set(settings_map.excluded) == set(
        published_runs()
    )
    for run in settings_map.runs:
        (curves,) = read_curves(f"published:{run.run}")
        assert run.source["sha256"] == curves.source["sha256"]
        assert np.all(np.linalg.eigvalsh(run.information) > -1e-6)
    assert "16 runs" in settings_map.summary()


@pytest.mark.parametrize(
    ("change", "parameter", "sign"),
    [
        ({"match_probability": 0.6}, "mu1", -1),
        ({"n_classes": 25_600}, "n_d", 1),
        ({"depth": 1}, "x_a", -1),
        ({"lr": 1e-4}, "sequences_per_time", -1),
        ({"label_noise": 0.2}, "mu2", 1),
    ],
)
def test_settings_move_parameters_the_known_way(change, parameter, sign):
    plain = default_map().predict(BASE).median(parameter)
    turned = default_map().predict({**BASE, **change}).median(parameter)
    assert np.sign(np.log(turned / plain)) == sign


def test_what_settings_do_not_say_widens_the_prediction():
    whole = default_map().predict(BASE)
    unsaid = default_map().predict({k: v for k, v in BASE.items() if k != "lr"})
    other = default_map().predict({**BASE, "data_kind": "tokens"})
    j = whole.names.index("sequences_per_time")
    assert unsaid.covariance[j, j] > 4 * whole.covariance[j, j]
    assert any("time_scale" in note for note in unsaid.notes)
    assert np.all(np.diag(other.covariance) > np.diag(whole.covariance))
    assert any("tokens" in note for note in other.notes)
    assert whole.notes == ()


def test_settings_seen_before_are_predicted_more_sharply():
    seen = default_map().predict(BASE).covariance
    new = default_map().predict({**BASE, "n_classes": 9051}).covariance
    assert np.linalg.slogdet(seen)[1] < np.linalg.slogdet(new)[1]


def test_runs_can_be_taken_out():
    settings_map = default_map().without("mq", "main")
    assert len(settings_map.runs) == len(default_map().runs) - 2
    mean, spread = settings_map.effect("matching", "mu1")
    assert (mean, spread) == pytest.approx((1.0, 0.3))  # nothing left but what is believed
    with pytest.raises(ValueError, match="did you mean 'main'"):
        default_map().without("mian")
    with pytest.raises(ValueError, match="unknown effect"):
        settings_map.effect("luck", "mu1")


def test_maps_survive_the_disk(tmp_path):
    path = save_map(default_map(), tmp_path / "map.json")
    again = load_map(path)
    before, after = default_map().predict(BASE), again.predict(BASE)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.covariance, after.covariance)
    assert again.provenance == default_map().provenance
    assert again.discrepancy == default_map().discrepancy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "coopetition settings map 99"}, "format 99"),
        ({"format": 1}, "of format 1, made by coopetition 0.1.0.*calibrate a map anew"),
        ({"format": "coopetition fits 2"}, "holds no settings map"),
        ({"runs": None}, r"damaged \(runs: "),
        ({"theory": "nonsense"}, "cannot be used .*nonsense"),
        ({"parameters": ["a"]}, "other parameters"),
    ],
)
def test_damaged_maps_are_refused(tmp_path, change, message):
    content = json.loads(save_map(default_map(), tmp_path / "map.json").read_text())
    (tmp_path / "map.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(CoopetitionError, match=message):
        load_map(tmp_path / "map.json")


def test_missing_files_and_theories_without_a_name_are_refused(tmp_path):
    import dataclasses

    with pytest.raises(CoopetitionError, match="cannot read settings map"):
        load_map(tmp_path / "none.json")
    with pytest.raises(ValueError, match="without its code"):
        save_map(dataclasses.replace(default_map(), declared=Logistics()), tmp_path / "m.json")


def test_every_covariate_says_what_one_unit_is():
    assert all(c.meaning and c.reach > 0 and c.unknown >= 0 for c in COVARIATES)
