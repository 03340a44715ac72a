"""What runs add to a map: each once, and what a calibration with them would have said."""

import dataclasses

import numpy as np
import pytest

from coopetition.forecasting.settings_map import calibrate, default_map
from coopetition.logs import read_curves
from coopetition.proposal import with_runs

LATER = 0.3  # of runs' deviations: what one fit in place of a whole calibration may move a median


def test_runs_already_known_change_nothing_and_new_ones_are_learnt_from():
    (run,) = read_curves("published:c12800_ex5")
    assert with_runs(default_map(), [run]) is default_map()
    without = default_map().without("c12800_ex5")
    again = with_runs(without, [run])
    assert {r.run for r in again.runs} == {r.run for r in default_map().runs}
    near = default_map().predict(run.settings).mean
    far = without.predict(run.settings).mean
    learnt = again.predict(run.settings).mean
    spread = np.sqrt(default_map().deviation)
    assert np.linalg.norm((learnt - near) / spread) < np.linalg.norm((far - near) / spread)


@pytest.mark.parametrize("name", ["main", "ts3"])
def test_a_run_learnt_of_later_leads_to_the_map_calibrated_with_it(name):
    (run,) = read_curves(f"published:{name}")
    again = with_runs(default_map().without(name), [run])
    learnt, known = (
        settings_map.predict(run.settings).mean for settings_map in (again, default_map())
    )
    apart = (learnt - known) / np.sqrt(default_map().deviation)
    assert np.linalg.norm(apart) < LATER


def test_where_a_log_says_little_its_parameters_are_what_the_map_predicts():
    (main,) = read_curves("published:main")
    begun = dataclasses.replace(main.until(2e5), source={"sha256": "of a run just begun"})
    predicted = default_map().predict(main.settings)
    optimum = with_runs(default_map(), [begun]).runs[-1].optimum
    apart = (optimum - predicted.mean) / np.sqrt(np.diag(predicted.covariance))
    assert np.abs(apart).max() < 1


def test_another_run_of_a_known_name_is_a_run_of_its_own():
    (main,) = read_curves("published:main")
    shorter = dataclasses.replace(main.until(1e7), source={"sha256": "of another log"})
    names = {run.run for run in with_runs(default_map(), [main, shorter]).runs}
    assert names == {run.run for run in default_map().runs} | {"main (2)"}


def test_a_log_is_known_by_its_contents_whatever_its_run_is_called():
    (main,) = read_curves("published:main")
    renamed = dataclasses.replace(main, run="folder/main")
    assert with_runs(default_map(), [renamed]) is default_map()


def test_further_runs_are_used_as_far_as_the_first_and_each_once():
    (mq,) = read_curves("published:mq")
    several = [
        dataclasses.replace(*read_curves(f"published:{name}"), source={"sha256": "x", "run": name})
        for name in ("main", "ts3")
    ]
    limits = {"until": 1e7, "points": 12}
    first = calibrate([mq], verdicts=False, **limits)
    once = with_runs(first, several[:1])
    twice = with_runs(once, [*several, *several])
    assert [run.run for run in twice.runs] == ["mq", "main", "ts3"]
    assert {run.until for run in twice.runs} == {1e7}
    assert twice.provenance["settings"].items() >= limits.items()
    assert twice.provenance["settings"]["added"] == ["ts3"]
