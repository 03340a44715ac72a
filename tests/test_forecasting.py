"""Forecasts of the published main run, by a map that has not seen it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tolerances import FLOAT64

from coopetition.curves.curve import Curves
from coopetition.curves.landmarks import landmarks
from coopetition.errors import LogError
from coopetition.forecasting import forecast, forecast_settings
from coopetition.forecasting.paths import flip_paths
from coopetition.forecasting.settings_map import calibrate, default_map, small_map
from coopetition.logs import read_curves, write_curves
from coopetition.proposal import propose

HORIZON = 2e7
FEW = 400  # draws: enough for what is asserted here
DROPPED = 0.1  # of the draws, whose simulation takes too many steps
STEPPED_OVER = 0.03  # of the paths whose ICL is so short that a coarse grid may miss it


@pytest.fixture(scope="module")
def main() -> Curves:
    return read_curves("published:main")[0]


@pytest.fixture(scope="module")
def others():
    return default_map().without("main")


@pytest.fixture(scope="module")
def quarter(main, others):
    return forecast(main, others, until=5e6, horizon=HORIZON, draws=FEW)


def test_a_quarter_of_the_log_tells_that_icl_is_transient(quarter):
    assert quarter.verdict == "transient"
    assert quarter.verdict_probability["transient"] > 0.9
    assert quarter.telling
    crossover = quarter.landmarks["crossover"]
    assert abs(crossover.median - 6.3e6) < 0.2 * 6.3e6
    assert crossover.lower > 5e6
    assert sum(quarter.verdict_probability.values()) == pytest.approx(1.0)


def test_bands_hold_what_happened(main, quarter):
    later = quarter.sequences > 5e6
    for evaluator in ("train", "icl", "ciwl", "flip"):
        curve, band = main.curve(evaluator), quarter.bands[evaluator]
        truth = np.interp(quarter.sequences[later], curve.sequences, curve.values)
        inside = (truth > band.lower[later] - 0.02) & (truth < band.upper[later] + 0.02)
        assert np.mean(inside) > 0.6, evaluator
        assert np.all(band.lower <= band.median)
        assert np.all(band.median <= band.upper)


def test_nothing_after_the_cut_is_looked_at(main, others, quarter):
    changed = {
        key: dataclasses.replace(curve, values=np.where(curve.sequences > 5e6, 0.123, curve.values))
        for key, curve in main.curves.items()
    }
    other = forecast(
        dataclasses.replace(main, curves=changed), others, until=5e6, horizon=HORIZON, draws=FEW
    )
    np.testing.assert_array_equal(other.bands["flip"].median, quarter.bands["flip"].median)
    assert other.landmarks == quarter.landmarks


def test_landmarks_before_the_cut_are_the_logs(main, quarter):
    emergence = quarter.landmarks["emergence"]
    assert emergence.probability == 1.0
    assert emergence.lower == emergence.upper == emergence.median
    flip = main.curve("flip")
    nearby = np.abs(flip.sequences - emergence.median) < 3e5
    assert abs(np.mean(flip.values[nearby]) - 0.6) < 0.05


def test_from_settings_alone(main, others):
    found = forecast(main, others, until=0.0, horizon=HORIZON, draws=FEW)
    assert found.until == 0.0
    assert found.verdict == "transient"
    same = forecast_settings(main.settings, others, horizon=HORIZON, run="main", draws=FEW)
    np.testing.assert_array_equal(found.bands["icl"].upper, same.bands["icl"].upper)
    wide = found.bands["flip"].upper - found.bands["flip"].lower
    assert np.mean(wide) > 0.2


@pytest.mark.parametrize("horizon", [2e8, 1e9])
def test_what_the_log_showed_is_true_however_far_the_horizon(main, others, horizon):
    found = forecast(main, others, until=2e7, horizon=horizon, draws=FEW)
    assert found.verdict_probability["never"] == 0.0
    for name in ("emergence", "crossover"):
        measured = getattr(landmarks(main.until(2e7), replicates=20), name).value
        assert found.landmarks[name].median == pytest.approx(measured, rel=1e-6)


def test_icl_that_comes_has_come_however_far_the_horizon(main, others):
    near, far = (
        forecast_settings(main.settings, others, horizon=horizon, draws=FEW)
        for horizon in (HORIZON, 50 * HORIZON)
    )
    assert far.theory_probability["never"] <= near.theory_probability["never"] + STEPPED_OVER


@pytest.mark.parametrize("run", ["fresh-49", "fresh-61", "fresh-69"])
def test_fast_relaxation_is_followed_to_a_late_horizon(run):
    """Where draws that take many steps are dropped, what is left is a biased sample."""
    (log,) = read_curves(f"cpu:{run}")
    settings_map = small_map().without(run)
    prior = settings_map.predict(log.settings)
    flips = flip_paths(
        settings_map.the_theory(),
        settings_map.discrepancy,
        prior,
        horizon=log.last_sequence,
        draws=FEW,
    )
    assert len(flips) > (1 - DROPPED) * FEW


def test_matched_exemplars_keep_icl_in_settings_alone(main):
    matched = {**main.settings, "match_probability": 1.0}
    settings_map = default_map().without("mq")
    plain = forecast_settings(main.settings, settings_map, horizon=HORIZON, draws=FEW)
    found = forecast_settings(matched, settings_map, horizon=HORIZON, draws=FEW)
    chance = found.verdict_probability["persistent"]
    assert chance > 0.5 > plain.verdict_probability["persistent"]


def test_a_horizon_that_no_run_came_near_is_called_the_theorys(main, others):
    far, near = (
        forecast_settings(main.settings, others, horizon=horizon, draws=FEW)
        for horizon in (3 * others.longest, others.longest)
    )
    assert any("extrapolation" in text for text in far.warnings)
    assert not any("extrapolation" in text for text in near.warnings)


def test_too_short_a_log_is_said_to_be(main, others):
    unsaid = {k: v for k, v in main.settings.items() if not k.startswith("n_")}
    found = forecast(main, others, until=5e5, horizon=HORIZON, settings=unsaid, draws=FEW)
    assert not found.telling
    assert any("do not yet tell" in text for text in found.warnings)
    assert any("do not say classes, exemplars" in text for text in found.warnings)
    assert "do not yet tell" in found.summary()


def test_a_shorter_log_leaves_more_open(main, others, quarter):
    short = forecast(main, others, until=2e6, horizon=HORIZON, draws=FEW)

    def width(found):
        band = found.bands["flip"]
        return np.mean((band.upper - band.lower)[found.sequences > 5e6])

    assert width(short) > 1.5 * width(quarter)


def test_a_log_counted_in_other_units_is_said_to_be_strange(main, others, quarter):
    said = "unlike those the map was calibrated on"
    assert not any(said in text for text in quarter.warnings)
    curves = {
        key: dataclasses.replace(curve, sequences=curve.sequences / 32)  # steps, not sequences
        for key, curve in main.curves.items()
    }
    steps = dataclasses.replace(main, curves=curves)
    found = forecast(steps, others, until=6e5, horizon=HORIZON, draws=FEW)
    assert any(said in text for text in found.warnings)


def test_tables_and_json_hold_the_forecast(quarter):
    table = quarter.to_table()
    assert list(table.columns) == [
        "run", "evaluator", "metric", "sequences", "value", "lower", "upper"
    ]  # fmt: skip
    assert set(table["evaluator"]) == {"train", "icl", "ciwl", "flip"}
    row = quarter.as_dict("bands.csv")
    assert row["horizon"] == HORIZON
    assert set(row["verdict_probability"]) == {"persistent", "transient", "never"}
    assert set(row["crossover"]) == {"median", "lower", "upper"}
    assert row["curves"] == "bands.csv"
    with pytest.raises(ValueError, match="read-only"):
        quarter.bands["flip"].median[0] = 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0.0}, "horizon"),
        ({"horizon": 1e6, "until": 2e6}, "until"),
        ({"level": 1.0}, "level"),
        ({"draws": 10}, "draws"),
    ],
)
def test_bad_arguments_are_named(main, others, changes, message):
    with pytest.raises(ValueError, match=message):
        forecast(main, others, **{"horizon": HORIZON, "until": 5e6, "draws": FEW, **changes})


def test_a_horizon_within_the_log_is_said_to_have_been_shown(main, others, quarter):
    said = "the log goes on to"
    found = forecast(main, others, horizon=HORIZON, draws=FEW)
    assert found.verdict_probability["transient"] == pytest.approx(1.0)
    assert any(said in text for text in found.warnings)
    assert not any(said in text for text in quarter.warnings)


def test_what_lies_beyond_the_end_of_a_log_is_forecast(main, others, quarter):
    found = forecast(main.until(5e6), others, until=9e6, horizon=HORIZON, draws=FEW)
    assert found.until == 5e6
    np.testing.assert_array_equal(found.bands["flip"].median, quarter.bands["flip"].median)


def test_a_log_without_flip_can_be_forecast(main, others):
    kept = {key: curve for key, curve in main.curves.items() if key[0] in ("icl", "ciwl")}
    blind = dataclasses.replace(main, curves=kept)
    found = forecast(blind, others, until=8e6, horizon=HORIZON, draws=FEW)
    assert found.verdict == "transient"
    assert found.landmarks["emergence"].lower < found.landmarks["emergence"].upper


def test_a_curve_that_was_logged_less_far_is_followed_by_the_forecast_from_its_own_end(
    main, others
):
    logged = {
        key: curve.take(curve.sequences <= 2.5e6) if key[0] == "flip" else curve
        for key, curve in main.curves.items()
    }
    gap = dataclasses.replace(main, curves=logged)
    found = forecast(gap, others, until=1.2e7, horizon=HORIZON, draws=FEW)
    whole = forecast(main, others, until=1.2e7, horizon=HORIZON, draws=FEW)
    assert found.verdict == whole.verdict == "transient"
    assert found.landmarks["emergence"].probability > 0.9
    assert found.landmarks["crossover"].median > 2.5e6
    assert sum(whole.verdict_probability.values()) <= 1.0 + FLOAT64


def test_a_run_that_the_map_has_seen_is_left_out_of_it(main, others, quarter):
    found = forecast(main, default_map(), until=5e6, horizon=HORIZON, draws=FEW)
    assert any("calibrated on this run: main" in text for text in found.warnings)
    np.testing.assert_array_equal(found.bands["flip"].median, quarter.bands["flip"].median)


def test_other_runs_of_the_same_file_stay_in_the_map(main, others, tmp_path):
    names = ("main", "mq", "c12800_ex5")
    given = {name: read_curves(f"published:{name}")[0] for name in names}
    table = write_curves(tmp_path / "all.csv", list(given.values()))
    runs = [
        dataclasses.replace(run, settings=given[run.run].settings) for run in read_curves(table)
    ]
    settings_map = calibrate(runs[1:], points=12, verdicts=False)
    found = forecast(runs[0], settings_map, until=5e6, horizon=HORIZON, draws=FEW)
    assert not any("left out" in text for text in found.warnings)
    member = forecast(runs[1], settings_map, until=5e6, horizon=HORIZON, draws=FEW)
    said = [text for text in member.warnings if "left out" in text]
    assert said == ["the map was calibrated on this run: mq left out"]


def test_a_map_without_runs_forecasts_by_its_priors(main):
    settings_map = calibrate([main], points=12, verdicts=False)
    left, none = (
        forecast(main, settings_map, until=5e6, horizon=HORIZON, draws=FEW),
        forecast_settings(main.settings, settings_map.without("main"), horizon=HORIZON, draws=FEW),
    )
    assert settings_map.without("main").longest == 0.0
    assert left.verdict == "transient"  # as its log has it
    for found in (left, none):
        assert any("priors alone" in text for text in found.warnings)
        assert sum(found.verdict_probability.values()) == pytest.approx(1.0)


def test_a_log_without_accuracies_is_refused(others):
    (lost,) = read_curves("published:icl_only")
    with pytest.raises(LogError, match="a forecast needs"):
        forecast(lost, others, until=3e7, horizon=5e7, draws=FEW)


def test_a_maps_path_is_no_map(main):
    says = r"settings_map = 'map.json': read the map first, load_map"
    with pytest.raises(ValueError, match=says):
        forecast(main, "map.json", horizon=HORIZON)
    with pytest.raises(ValueError, match=says):
        forecast_settings(main.settings, "map.json", horizon=HORIZON)
    with pytest.raises(ValueError, match=says):
        propose(main.settings, "map.json", budget=HORIZON)
    with pytest.raises(ValueError, match="give one of the runs"):
        forecast((main,), default_map(), horizon=HORIZON)
