"""Calibration: the regression against brute force, effects that were put in, the shipped map."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json

import numpy as np
import pytest
from click.testing import CliRunner
from forecast_problems import run_of
from tolerances import STANDARD_ERRORS

from coopetition.dynamics.catalogue import get
from coopetition.errors import LogError
from coopetition.forecasting.settings_map import calibrate, default_map, load_map, save_map
from coopetition.forecasting.settings_map.priors import EffectPrior
from coopetition.forecasting.settings_map.regression import expected_deviations, regress
from coopetition.forecasting.theories import Logistics
from coopetition.forecasting.theories.theory import parameter_names
from coopetition.forecasting.theories.toy_model import as_theory
from coopetition.logs import published_runs, read_curves, write_curves

TIMES = np.linspace(0.0, 2e7, 60)
SETTINGS = {
    "depth": 2, "width": 64, "mlp_ratio": 0.0, "positions": "learned", "n_exemplars": 20,
    "context_len": 2, "burstiness": 1, "lr": 1e-5, "batch_size": 32,
}  # fmt: skip


def test_regression_is_the_conditional_of_the_joint_normal():
    rng = np.random.default_rng(0)
    k, columns, runs = 2, 5, 4
    alike = np.array([[1.0, 0.6], [0.6, 1.0]])
    prior = EffectPrior(
        columns=("base", "p", "q", "settings:0", "settings:1"),
        mean=rng.standard_normal((k, columns)),
        spread=rng.uniform(0.5, 2.0, (k, columns)),
        correlation=alike,
    )
    deviation = np.array([0.3, 0.1])
    designs = rng.standard_normal((runs, columns))
    designs[:, 2] = 0.0  # a covariate that no run has
    measured = rng.standard_normal((runs, k))
    noise = [a @ a.T + np.eye(k) for a in rng.standard_normal((runs, k, k))]
    informations = np.linalg.inv(noise)
    scores = np.einsum("rij,rj->ri", informations, measured)
    found = regress(prior, deviation, designs, informations, scores)

    # measured = E z + d + error, stacked: the effects are conditioned on it directly
    design = np.concatenate([np.kron(np.eye(k), z[None]) for z in designs])
    correlation = np.eye(columns)
    correlation[3:, 3:] = alike
    scale = np.diag(prior.spread.ravel())
    before = scale @ np.kron(np.eye(k), correlation) @ scale
    spread = np.zeros((runs * k, runs * k))
    for i, own in enumerate(noise):
        spread[i * k : (i + 1) * k, i * k : (i + 1) * k] = own + np.diag(deviation)
    gain = before @ design.T @ np.linalg.inv(design @ before @ design.T + spread)
    mean = prior.mean.ravel() + gain @ (measured.ravel() - design @ prior.mean.ravel())
    covariance = before - gain @ design @ before
    np.testing.assert_allclose(found.mean.ravel(), mean)
    size = k * columns
    np.testing.assert_allclose(found.covariance.reshape(size, size), covariance, atol=1e-12)
    at_mean, at_spread = found.at(designs[0])
    row = np.kron(np.eye(k), designs[:1])
    np.testing.assert_allclose(at_mean, row @ mean)
    np.testing.assert_allclose(at_spread, row @ covariance @ row.T, atol=1e-12)


def test_deviations_that_are_measured_exactly_are_their_own_expectation():
    prior = EffectPrior(
        columns=("base",),
        mean=np.zeros((1, 1)),
        spread=np.full((1, 1), 1e-6),
        correlation=np.zeros((0, 0)),
    )
    truth = np.array([0.3, -0.2, 0.5])
    sharp = np.full((3, 1, 1), 1e12)
    designs, scores = np.ones((3, 1)), 1e12 * truth[:, None]
    effects = regress(prior, np.array([0.1]), designs, sharp, scores)
    found = expected_deviations(effects, np.array([0.1]), designs, sharp, scores)
    np.testing.assert_allclose(found, np.sum(truth**2), rtol=1e-3)


def made_runs() -> list:
    """Runs of the logistic theory in which doubled classes make CIWL 1.5 times slower."""
    theory, rng = Logistics(), np.random.default_rng(5)
    runs = []
    for number, classes in enumerate([800, 1600, 3200, 6400, 12800, 12800, 25600, 51200]):
        theta = np.log([p.centre for p in theory.parameters])
        theta = theta + 0.05 * rng.standard_normal(len(theta))
        theta[1] += np.log(1.5) * np.log2(classes / 12800)
        curves = {e: y[0] for e, y in theory.curves(theta[None], TIMES).items()}
        noisy = {e: y + 0.005 * rng.standard_normal(len(y)) for e, y in curves.items()}
        settings = {**SETTINGS, "n_classes": classes}
        runs.append(run_of(noisy, TIMES, run=f"made{number}", settings=settings))
    return runs


@pytest.fixture(scope="module")
def made():
    return calibrate(made_runs(), theory=Logistics(), points=30)


def test_an_effect_that_was_put_in_is_found(made):
    mean, spread = made.effect("classes", "time_ciwl")
    assert abs(mean - np.log(1.5)) < STANDARD_ERRORS * spread
    assert abs(mean - np.log(1.5)) < 0.1
    other, spread = made.effect("classes", "time_icl")
    assert abs(other) < STANDARD_ERRORS * spread
    assert made.theory == "logistics"
    assert made.combinations[4] == made.runs[5].combination
    assert len(made.combinations) == 7


def test_settings_between_those_seen_are_predicted(made):
    prior = made.predict({**SETTINGS, "n_classes": 9051})
    truth = np.log(6e6) - 0.5 * np.log(1.5)
    j = prior.names.index("time_ciwl")
    assert abs(prior.mean[j] - truth) < 0.15
    assert np.sqrt(prior.covariance[j, j]) < 0.5


def test_deviations_shrink_towards_what_is_seen(made):
    guess = np.array([p.seed_spread for p in Logistics().parameters])
    assert np.all(np.sqrt(made.deviation) < 1.3 * guess)
    assert np.sqrt(made.deviation[1]) < guess[1]  # 0.05 was put in, 0.2 guessed


def test_runs_of_one_name_are_told_apart_by_their_logs():
    first, second = (
        dataclasses.replace(run, run="one preset", source={"path": f"{log}.csv", "sha256": log})
        for run, log in zip(made_runs(), "ab", strict=False)
    )
    found = calibrate([first, second, first], theory=Logistics(), points=12, verdicts=False)
    assert [run.run for run in found.runs] == ["one preset", "one preset (2)"]
    assert [run.source["path"] for run in found.runs] == ["a.csv", "b.csv"]
    assert found.provenance["inputs"] == [first.source, second.source]


def test_one_name_for_two_runs_without_a_log_is_refused():
    first, second = (dataclasses.replace(run, run="made") for run in made_runs()[:2])
    with pytest.raises(LogError, match="rename one"):
        calibrate([first, second], theory=Logistics())


def test_a_run_whose_settings_cannot_be_compared_is_left_out_alone():
    good, other = made_runs()[:2]
    odd = dataclasses.replace(other, settings={**other.settings, "burstiness": 0})
    found = calibrate([good, odd], theory=Logistics(), points=12, verdicts=False)
    assert [run.run for run in found.runs] == [good.run]
    assert "burstiness = 0" in found.excluded[odd.run]


def test_nothing_to_calibrate_on_is_said():
    (lost,) = read_curves("published:icl_only")
    with pytest.raises(LogError, match="icl_only: trained on icl_only"):
        calibrate([lost])


def test_the_command_writes_a_map(tmp_path):
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    path = tmp_path / "map.json"
    arguments = ["calibrate", "published:mq", "published:icl_only", "--until", "2e7", "--quiet"]
    result = CliRunner().invoke(entry.load(), [*arguments, "-o", str(path)])
    assert result.exit_code == 0, result.output
    assert "coopetition: 1 runs, 1 different settings" in result.stdout
    assert "left out: icl_only" in result.stdout
    content = json.loads(path.read_text())
    assert content["runs"][0]["run"] == "mq"
    assert content["provenance"]["settings"]["until"] == 2e7
    logs = [read_curves(name)[0].source for name in arguments[1:3]]
    inputs = [{name: log[name] for name in ("path", "sha256")} for log in logs]
    assert content["provenance"]["inputs"] == inputs


def test_runs_of_one_preset_are_calibrated_on_together(tmp_path):
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    (main,) = read_curves("published:main")
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, until in zip(folders, (2e6, 3e6), strict=True):
        folder.mkdir()
        write_curves(folder / "curves.csv", [main.until(until)])
    path = tmp_path / "map.json"
    arguments = ["calibrate", *map(str, [*folders, folders[0]]), "--quiet", "-o", str(path)]
    result = CliRunner().invoke(entry.load(), arguments)
    assert result.exit_code == 0, result.output
    assert "1 of the runs have the same log as another" in result.stderr
    runs = json.loads(path.read_text())["runs"]
    assert [run["run"] for run in runs] == ["main", "main (2)"]


def test_the_command_names_what_is_wrong(tmp_path):
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    arguments = ["calibrate", "published:mq", "-o", str(tmp_path / "map.json"), "--until", "-1"]
    result = CliRunner().invoke(entry.load(), arguments)
    assert result.exit_code == 2
    assert "--until" in result.stderr


@pytest.mark.slow
def test_the_shipped_map_is_what_calibrating_gives():
    shipped = default_map()
    runs = [read_curves(f"published:{name}")[0] for name in published_runs()]
    again = calibrate(runs, until=shipped.provenance["settings"]["until"])
    settings = runs[0].settings
    before, after = shipped.predict(settings), again.predict(settings)
    spread = np.sqrt(np.diag(before.covariance))
    assert np.all(np.abs(before.mean - after.mean) < 0.2 * spread)


def test_a_run_and_a_model_may_be_given_as_they_are(tmp_path):
    (main,) = read_curves("published:main")
    at_a_path = dataclasses.replace(main, source={**main.source, "path": tmp_path / "log.csv"})
    one = calibrate(at_a_path, theory=get("coopetition"), points=12, verdicts=False)
    listed = calibrate([main], points=12, verdicts=False)
    np.testing.assert_array_equal(one.runs[0].optimum, listed.runs[0].optimum)
    again = load_map(save_map(one, tmp_path / "map.json"))  # it is the catalogue's model
    assert again.runs[0].source["path"] == str(tmp_path / "log.csv")


def test_a_model_of_ones_own_is_a_theory():
    own = dataclasses.replace(get("coopetition"), name="mine")
    theory = as_theory(own)
    assert theory.name == "mine"
    assert parameter_names(theory) == default_map().parameters
    assert as_theory(get("coopetition")) == "coopetition"
