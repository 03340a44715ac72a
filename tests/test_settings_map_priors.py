"""Priors that a map keeps in its file, and what it says where they are all it has."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json

import numpy as np
import pytest
from click.testing import CliRunner

from coopetition.errors import CoopetitionError
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.settings_map import calibrate, default_map, load_map, save_map
from coopetition.forecasting.settings_map.priors import completed, current_priors
from coopetition.forecasting.settings_map.regression import too_alike
from coopetition.forecasting.theories.toy_model import toy_theory
from coopetition.logs import read_curves
from coopetition.proposal import with_runs

PRESENT = current_priors(toy_theory("coopetition"))


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A map's file as plain JSON."""
    path = save_map(default_map(), tmp_path_factory.mktemp("map") / "map.json")
    return json.loads(path.read_text())


@pytest.fixture
def reloaded(tmp_path):
    def load(content):
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(content))
        return load_map(path)

    return load


@pytest.fixture(scope="module")
def main():
    (found,) = read_curves("published:main")
    return found


@pytest.fixture(scope="module")
def alone(main):
    return calibrate([main], points=12)


def test_a_file_holds_the_priors_in_force(content, reloaded):
    assert content["priors"]["directed"]["matching"]["mu1"] == [1.0, 0.3]
    assert reloaded(content).priors == PRESENT


def test_the_files_priors_are_what_counts(content, reloaded, main):
    priors = json.loads(json.dumps(content["priors"]))
    priors["directed"]["label_noise"]["mu2"] = [-2.0, 0.1]
    priors["settings_reach"] = 2.0
    changed = reloaded({**content, "priors": priors})
    # no run of the map has label noise, so nothing else speaks of its effect
    assert default_map().effect("label_noise", "mu2") == pytest.approx((0.7, 0.5))
    assert changed.effect("label_noise", "mu2") == pytest.approx((-2.0, 0.1))
    unseen = {**main.settings, "n_classes": 9051}
    before, after = default_map().predict(unseen), changed.predict(unseen)
    assert np.all(np.diag(after.covariance) > np.diag(before.covariance))
    assert with_runs(changed, [main]).priors == changed.priors


def test_covariates_that_came_later_are_filled_in_and_named(content, reloaded):
    priors = json.loads(json.dumps(content["priors"]))
    for part in ("reach", "unknown", "directed"):
        del priors[part]["zipf"]
    found = reloaded({**content, "priors": priors})
    assert found.priors == PRESENT
    assert "none of zipf" in found.provenance["priors"]


def test_covariates_that_are_no_longer_known_are_refused():
    gone = dataclasses.replace(
        PRESENT,
        reach={**PRESENT.reach, "moonlight": 1.0},
        unknown={**PRESENT.unknown, "moonlight": 0.0},
    )
    with pytest.raises(ValueError, match="moonlight"):
        completed(gone, PRESENT)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("kind_reach",), 0.0),
        (("settings_reach",), float("nan")),
        (("parameters", 3, "spread"), -1.0),
        (("parameters", 3, "time_scale"), float("inf")),
        (("parameters", 3), None),
        (("reach", "matching"), 0.0),
        (("unknown", "matching"), float("nan")),
        (("directed", "matching"), {"mu1": [1.0]}),
        (("directed",), None),
    ],
)
def test_damaged_priors_are_refused(content, reloaded, where, value):
    priors = json.loads(json.dumps(content["priors"]))
    inside = priors
    for name in where[:-1]:
        inside = inside[name]
    inside[where[-1]] = value
    with pytest.raises(CoopetitionError, match="is damaged"):
        reloaded({**content, "priors": priors})


# ---- runs that differ in nothing -------------------------------------------------------------


def test_one_run_teaches_no_effect_and_the_map_says_so(alone, main):
    (warning,) = alone.warnings
    assert warning.startswith("only one run (main): effects of settings come from priors alone")
    assert "add runs that differ" in warning
    assert "match_probability" in warning
    assert alone.provenance["warnings"] == [warning]
    for setting in ("matching", "classes"):
        j = alone.prior.columns.index(setting)
        row = alone.parameters.index("mu1")
        prior = alone.prior.mean[row, j], alone.prior.spread[row, j]
        assert alone.effect(setting, "mu1") == pytest.approx(prior)
    seen = forecast_settings(main.settings, alone, horizon=2e7, draws=100)
    assert warning in seen.warnings


def test_runs_that_differ_in_their_seed_only_teach_no_effect_either(main):
    (other,) = read_curves("published:ts3")
    both = calibrate([main, other], points=12)
    (warning,) = both.warnings
    assert warning.startswith("the 2 runs differ in no setting")
    assert "80 % the prior's" in warning


def test_runs_that_differ_are_not_warned_of():
    assert default_map().warnings == ()
    assert too_alike(["a", "b", "c"], ["x", "x", "y"], 0.3) == ()
    assert "no run" in default_map().without(*(run.run for run in default_map().runs)).warnings[0]


def test_the_command_warns_on_stderr_and_in_the_file(tmp_path):
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    path = tmp_path / "map.json"
    arguments = ["calibrate", "published:mq", "--until", "2e7", "--quiet", "-o", str(path)]
    result = CliRunner().invoke(entry.load(), arguments)
    assert result.exit_code == 0, result.output
    assert "warning: only one run (mq)" in result.stderr
    assert "warning" not in result.stdout
    content = json.loads(path.read_text())
    assert "priors alone" in content["provenance"]["warnings"][0]
    (mu1,) = (p for p in content["priors"]["parameters"] if p["name"] == "mu1")
    assert mu1["centre"] == 0.15
