"""What fields of settings declare: whole, within their own limits, and read by all who ask."""

import math

import numpy as np
import pytest

from coopetition.forecasting.settings_map import (
    COVARIATES,
    covariates,
    default_map,
    small_map,
)
from coopetition.forecasting.theories.toy_model import toy_theory
from coopetition.logs.shipped_runs import small_runs, small_settings
from coopetition.proposal import default_moves, parse_move
from coopetition.proposal.moves import DEFAULT, MOVABLE, price_words
from coopetition.settings.covariates import ORDER, UNSAID, data_kind
from coopetition.settings.names import (
    READ,
    settings_of_ours,
    settings_of_reference,
    with_short_names,
)
from coopetition.settings.schema import value_at
from coopetition.settings.training import BY_SHORT_NAME, SETTINGS, TrainingSettings
from coopetition.settings.unused import without_effect
from coopetition.settings.yaml_files import CHANGEABLE, another_run, as_plain

DEFAULTS = settings_of_ours(as_plain(TrainingSettings()))


def unique(names):
    names = list(names)
    return len(names) == len(set(names))


def test_every_field_is_a_setting_with_its_own_default():
    plain = as_plain(TrainingSettings())
    assert len(SETTINGS) == sum(len(v) if isinstance(v, dict) else 1 for v in plain.values())
    for setting in SETTINGS:
        assert value_at(TrainingSettings(), setting.path) == setting.default


def test_names_are_unique():
    assert unique(setting.path for setting in SETTINGS)
    assert unique(setting.short for setting in SETTINGS if setting.short)
    assert unique(setting.reference.name for setting in SETTINGS if setting.reference)
    assert unique(covariate.name for covariate in COVARIATES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_declarations_agree_with_one_another_and_with_the_field(setting):
    known = [setting.reference, setting.move, *setting.maps]
    assert setting.short is not None or not any(known)  # others know it by its short name
    if setting.move is not None:
        assert isinstance(setting.default, int | float)
        assert setting.maps or any(setting.short in covariate.of for covariate in COVARIATES)
        assert setting.move.log or None not in (setting.move.lower, setting.move.upper)
        assert setting.move.unit > 0
    if setting.needs is not None:
        assert setting.needs.words
        assert setting.needs.met(TrainingSettings()) in (True, False)
    if setting.changeable:
        assert setting.section == "run"
        assert setting.name in CHANGEABLE


@pytest.mark.parametrize("name", MOVABLE)
def test_moves_lie_within_the_settings_limits(name):
    base = {**DEFAULTS, name: DEFAULTS[name] or 0.1}
    (move,) = default_moves(base, [name])
    for end in (move.lower, move.upper):
        changed = with_short_names(TrainingSettings(), {name: end})
        assert value_at(changed, BY_SHORT_NAME[name].path) == end
        assert math.isfinite(
            sum(value or 0.0 for value in covariates({**base, name: end}).values())
        )
    assert move.whole == isinstance(BY_SHORT_NAME[name].default, int)
    assert name in price_words()


def test_few_settings_move_where_none_is_named():
    assert DEFAULT == ("match_probability", "n_classes", "n_exemplars", "spread")
    assert unique(s.move.usual for s in SETTINGS if s.move and s.move.usual is not None)


def test_covariates_are_0_at_the_base():
    at_base = covariates(DEFAULTS)
    assert {value for value in at_base.values() if value is not None} == {0.0}
    assert {name for name, value in at_base.items() if value is None} == {
        "match_error",
        "probe_error",
    }


def test_covariates_keep_the_order_of_the_shipped_maps():
    assert tuple(covariate.name for covariate in COVARIATES)[: len(ORDER)] == ORDER


@pytest.mark.parametrize("covariate", COVARIATES, ids=lambda covariate: covariate.name)
def test_covariates_are_declared_whole(covariate):
    parameters = {parameter.name for parameter in toy_theory("coopetition").parameters}
    assert covariate.meaning
    assert covariate.reach > 0
    assert covariate.unknown >= 0
    assert set(covariate.of) <= set(READ)
    assert set(covariate.effects) <= parameters
    assert all(spread > 0 for _, spread in covariate.effects.values())
    assert UNSAID[covariate.name] in (None, 0.0)


def test_what_a_setting_declares_reaches_the_reference_s_names():
    config = {
        "class_split": [1600, 10, 10], "exemplar_split": [5, 1, 1], "train_context_len": 8,
        "pt_burstiness": [3, 3], "pos_embedding_type": "rope", "mlp_ratio": None, "lr": 3e-4,
        "init_seed": 0,
    }  # fmt: skip
    settings = settings_of_reference(config)
    assert settings.pop("original") == config
    assert settings == {
        "n_classes": 1600, "n_exemplars": 5, "context_len": 8, "burstiness": 3,
        "positions": "rotary", "mlp_ratio": 0.0, "lr": 3e-4, "init_seed": 0,
    }  # fmt: skip


def test_only_changeable_settings_leave_a_run_the_same():
    stored = TrainingSettings()
    for setting in SETTINGS:
        if setting.section != "run" or not isinstance(setting.default, int):
            continue
        flag = isinstance(setting.default, bool)
        other = not setting.default if flag else setting.default + 1
        wanted = stored.replace(run=stored.run.replace(**{setting.name: other}))
        assert (another_run(stored, wanted) is None) == setting.changeable


def test_the_defaults_hold_nothing_without_effect():
    assert without_effect([TrainingSettings()]) == ()
    assert data_kind(DEFAULTS) == "gaussian"


def test_the_initial_scale_reaches_logs_maps_and_proposals_by_its_declaration_alone():
    wide = settings_of_ours({"network": {"init_scale": 4.0}})
    assert (DEFAULTS["init_scale"], wide["init_scale"]) == (1.0, 4.0)
    assert covariates(wide)["init_scale"] == 2.0
    assert covariates({})["init_scale"] == 0.0  # whoever could vary it says so
    assert small_settings(small_runs()[0])["init_scale"] == 1.0
    (move,) = default_moves(DEFAULTS, ["init_scale"])
    assert (move.lower, move.upper, move.log, move.whole) == (0.25, 4.0, True, False)
    assert parse_move("init_scale=log:0.5:2@3", DEFAULTS).cost(1.0, 2.0) == 3.1
    assert with_short_names(TrainingSettings(), {"init_scale": 0.5}).network.init_scale == 0.5


@pytest.mark.parametrize("scale", [0, -1.0])
def test_an_initial_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=r"network\.init_scale = "):
        TrainingSettings(network={"init_scale": scale})
    with pytest.raises(ValueError, match=r"init_scale = .*: must be positive"):
        covariates({"init_scale": scale})


@pytest.mark.parametrize("shipped", [default_map, small_map])
def test_maps_of_before_a_setting_predict_as_they_did_where_it_has_its_default(shipped):
    settings_map = shipped()
    assert "init_scale" in settings_map.provenance["priors"]
    known = small_settings("base_seed=0")
    plain, wide = (settings_map.predict({**known, "init_scale": scale}) for scale in (1.0, 4.0))
    known.pop("init_scale")
    unsaid = settings_map.predict(known)
    assert np.array_equal(plain.mean, unsaid.mean)
    assert np.array_equal(plain.covariance, unsaid.covariance)
    assert np.all(np.diag(wide.covariance) > np.diag(plain.covariance))


def test_runs_of_a_map_are_recognised_where_a_setting_came_later():
    names = {run.run: run for run in small_map().runs}
    run = names["base_seed=0"]
    own = covariates(small_settings("base_seed=0"))
    assert run.combination == (run.kind, *own.values())
