"""Jeffrey's rule over paths, and what it does to forecasts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.curves.verdicts import RARE, VERDICTS, verdict_probabilities, verdicts_of_paths
from coopetition.errors import CoopetitionError
from coopetition.fitting.smc import systematic_resample
from coopetition.forecasting import forecast, forecast_settings
from coopetition.forecasting.reweighting import FROM_SETTINGS, path_weights
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal.screening import verdict_chances

HORIZON = 2e7
SHARE = 0.02  # of a verdict among 1,000 resampled paths
FLIPS = np.array([[0.7, 0.8], [0.7, 0.3], [0.5, 0.2], [0.9, 0.6], [0.65, 0.1]])


@pytest.fixture(scope="module")
def main():
    (curves,) = read_curves("published:main")
    return curves


@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3))
def test_verdicts_take_the_probabilities_asked_for_and_paths_within_one_stay_alike(shares):
    before = verdict_probabilities(FLIPS)
    after = dict(zip(VERDICTS, np.array(shares) / sum(shares), strict=True))
    weights = path_weights(FLIPS, before, after)
    found = verdicts_of_paths(FLIPS)
    for i, name in enumerate(VERDICTS):
        assert np.sum(weights[found == i]) == pytest.approx(after[name])
        assert np.ptp(weights[found == i]) == pytest.approx(0.0, abs=1e-12)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40).filter(lambda w: sum(w) > 0.1))
def test_each_is_drawn_as_often_as_it_weighs(raw):
    weights = np.array(raw) / sum(raw)
    counts = np.bincount(systematic_resample(weights, len(weights)), minlength=len(weights))
    assert counts.sum() == len(weights)
    assert np.all(np.abs(counts - len(weights) * weights) < 1 + 1e-9)


@given(st.integers(1, 3000))
def test_equal_weights_change_nothing(count):
    np.testing.assert_array_equal(
        systematic_resample(np.full(count, 1 / count), count), np.arange(count)
    )


def test_from_settings_the_verdicts_are_the_corrected_ones_and_so_are_the_paths(main):
    found = forecast_settings(main.settings, default_map(), horizon=HORIZON, draws=1000)
    corrected = default_map().corrected(main.settings, found.theory_probability, horizon=HORIZON)
    assert found.verdict_probability == corrected
    assert found.verdict_probability != found.theory_probability
    emerged = corrected["persistent"] + corrected["transient"]
    assert found.landmarks["emergence"].probability == pytest.approx(emerged, abs=SHARE)
    assert found.landmarks["crossover"].probability >= corrected["transient"] - SHARE


def test_a_log_s_verdict_probabilities_move_by_what_experience_says_of_the_settings(main):
    seen = forecast(main, default_map(), horizon=HORIZON, until=3e6, draws=1000)
    settings_map = default_map().without("main")
    (first,) = verdict_chances(
        [main.settings],
        dataclasses.replace(settings_map, runs=tuple(
            dataclasses.replace(run, verdicts=()) for run in settings_map.runs)),
        budget=HORIZON, draws=1000,
    )  # fmt: skip
    after = settings_map.corrected(main.settings, first, horizon=HORIZON)
    raw = {v: seen.theory_probability[v] * after[v] / max(first[v], RARE) for v in VERDICTS}
    for name in VERDICTS:
        assert seen.verdict_probability[name] == pytest.approx(raw[name] / sum(raw.values()))


def test_a_log_to_the_horizon_leaves_no_doubt(main):
    whole = forecast(main, default_map(), horizon=HORIZON, until=HORIZON, draws=200)
    assert whole.verdict_probability["transient"] == pytest.approx(1.0)


def test_a_map_without_verdicts_forecasts_by_the_theory_alone(main):
    bare = dataclasses.replace(
        default_map(),
        runs=tuple(dataclasses.replace(run, verdicts=()) for run in default_map().runs),
    )
    for found in (
        forecast_settings(main.settings, bare, horizon=HORIZON, draws=200),
        forecast(main, bare, horizon=HORIZON, until=4e6, draws=200),
    ):
        assert found.verdict_probability == pytest.approx(found.theory_probability)
    late = forecast_settings(main.settings, bare, horizon=6e7, draws=4000)
    assert 0 < late.theory_probability["persistent"] < RARE
    assert len(np.unique(late.thetas, axis=0)) == 4000  # each path once, those of rare ends too


def test_a_correction_that_rests_on_failed_simulations_is_refused(main):
    """The log's own paths may be simulable where those from settings alone are not."""

    class Picky:
        def __init__(self, theory):
            self.theory, self.name, self.parameters = theory, theory.name, theory.parameters

        def curves(self, thetas, times):
            found = self.theory.curves(thetas, times)
            if len(thetas) == FROM_SETTINGS:
                return {name: np.full_like(values, np.nan) for name, values in found.items()}
            return found

        def slopes(self, theta, times):
            return self.theory.slopes(theta, times)

    picky = dataclasses.replace(default_map(), declared=Picky(default_map().the_theory()))
    with pytest.raises(CoopetitionError, match="100 % of the simulations from the run's settings"):
        forecast(main, picky, horizon=HORIZON, until=4e6, draws=200)
