"""What settings have in common with those of the runs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.forecasting.settings_map import default_map
from coopetition.forecasting.settings_map.correlation import OWN, SMOOTH, correlation
from coopetition.forecasting.settings_map.priors import completed
from coopetition.settings.covariates import COVARIATES, covariates

QUADRATURE = 1e-6
BASE = {"match_probability": 0.0, "n_classes": 12800, "n_exemplars": 20, "lr": 1e-5, "depth": 2}
REACH, UNKNOWN = {"p": 0.4, "q": 0.2}, {"p": 2.0, "q": 0.0}
said = st.floats(-5, 5) | st.none()
places = st.lists(st.tuples(st.just("gaussian"), said, said), min_size=1, max_size=6, unique=True)


@given(places)
def test_kinship_is_a_correlation(combinations):
    found = correlation(combinations, combinations, REACH, UNKNOWN)
    assert np.allclose(np.diag(found), 1.0)
    assert np.array_equal(found, found.T)
    assert np.all((found >= 0) & (found <= 1))


@given(places)
def test_kinship_has_an_inverse_whatever_settings_leave_unsaid(combinations):
    found = correlation(combinations, combinations, REACH, UNKNOWN)
    assert np.min(np.linalg.eigvalsh(found)) > 0.9 * OWN


@given(st.floats(-5, 5))
def test_what_is_unsaid_is_expected_over(value):
    places = [("gaussian", value, 0.0), ("gaussian", None, 0.0), ("gaussian", value, None)]
    found = correlation(places, places, REACH, UNKNOWN)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    told = np.exp(-0.5 * (REACH["p"] / SMOOTH * (value - UNKNOWN["p"] * nodes)) ** 2)
    expected = weights @ told / np.sum(weights)
    assert found[0, 1] == pytest.approx((1 - OWN) * expected, rel=QUADRATURE)
    assert found[0, 2] == 1 - OWN  # q, whose unknown is 0, is then taken to be 0


def test_a_map_predicts_whatever_its_runs_leave_unsaid():
    runs = [run for run in default_map().runs if run.settings["matched_share"] in (0.0, 1.0)]
    silent = [
        dataclasses.replace(
            run,
            run=f"{run.run} without {' and '.join(names)}",
            settings={**run.settings, **dict.fromkeys(names)},
        )
        for run in runs[:4]
        for names in (("matching", "matched_share"), ("weight_decay",), ("classes",))
    ]
    settings_map = dataclasses.replace(default_map(), runs=(*runs, *silent))
    for settings in (BASE, {**BASE, "match_probability": 0.5}, {"n_classes": 9051, "depth": 2}):
        values = covariates(settings)
        weights, left = settings_map.offset_weights(("omniglot", *values.values()))
        near = correlation(
            [("omniglot", *values.values())],
            settings_map.combinations,
            settings_map.priors.reach,
            settings_map.priors.unknown,
        )[0]
        assert left == pytest.approx(1 - near @ weights)
        prior = settings_map.predict(settings)
        assert np.all(np.linalg.eigvalsh(prior.covariance) > 0)


def test_runs_on_other_data_have_nothing_in_common():
    assert (
        correlation([("gaussian", 0.0, 0.0)], [("glyphs", 0.0, 0.0)], REACH, UNKNOWN)[0, 0] == 0.0
    )


def test_kinship_falls_as_settings_part_and_faster_where_they_reach_far():
    places = [("gaussian", 0.0, 0.0), ("gaussian", 1.0, 0.0), ("gaussian", 0.0, 1.0)]
    ((_, far, near),) = correlation(places[:1], places, REACH, UNKNOWN)
    assert far < near < 1.0


def test_settings_of_a_run_have_its_offset_and_those_far_away_none():
    settings_map = default_map()
    own, left = settings_map.offset_weights(settings_map.combinations[3])
    assert own[3] == 1.0
    assert np.count_nonzero(own) == 1
    assert left == 0.0
    nowhere = ("gaussian", *(40.0 for _ in COVARIATES))
    weights, left = settings_map.offset_weights(nowhere)
    assert np.allclose(weights, 0.0)
    assert left == pytest.approx(1.0)


def test_a_prediction_nears_that_at_a_run_as_settings_near_its_own():
    settings_map = default_map()
    run = next(run for run in settings_map.runs if run.run == "main")
    there = settings_map.design(run.settings, run.kind)
    gaps = []
    for step in (2.0, 0.25, 0.0):
        values = {**run.settings, "classes": run.settings["classes"] + step}
        at = settings_map.effects.at(settings_map.design(values, run.kind))[0]
        gaps.append(np.max(np.abs(at - settings_map.effects.at(there)[0])))
    assert gaps[0] > gaps[1] > gaps[2] == 0.0


def test_covariates_tell_kinds_and_places_of_weight_decay_apart():
    rate = {"weight_decay": 0.1}
    for change, name in (
        ({}, "weight_decay"),
        ({"weight_decay_on": "attention"}, "attention_decay"),
        ({"weight_decay_on": "embeddings"}, "embedding_decay"),
        ({"optimizer": "adamw"}, "decoupled_decay"),
        (
            {"weight_decay_kind": "decoupled", "weight_decay_on": "attention"},
            "decoupled_attention_decay",
        ),
    ):
        found = covariates({**rate, **change})
        assert {key for key, value in found.items() if "decay" in key and value} == {name}


def test_priors_of_a_file_are_put_in_the_order_that_combinations_have():
    present = default_map().priors
    turned = dataclasses.replace(present, reach=dict(reversed(present.reach.items())))
    filled, new = completed(turned, present)
    assert list(filled.reach) == [covariate.name for covariate in COVARIATES]
    assert new == ()


def test_effects_are_not_relied_on_far_outside_what_runs_have_shown():
    settings_map = default_map()
    settings = {"n_classes": 12800, "n_exemplars": 20, "lr": 1e-5, "batch_size": 32, "depth": 2}
    far, further = (settings_map.predict({**settings, "n_classes": n}) for n in (10, 5))
    assert np.array_equal(far.mean, further.mean)
    assert any("classes: far from all runs" in note for note in far.notes)
    assert not any("far from all runs" in note for note in settings_map.predict(settings).notes)
