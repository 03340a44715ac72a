"""Landmarks and verdicts of many paths agree with those of single curves; scores are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from forecast_problems import run_of
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT64

from coopetition.curves.landmarks import distribution, landmarks, landmarks_of_paths
from coopetition.curves.verdicts import most_probable, verdict, verdict_probabilities
from coopetition.forecasting import Forecast
from coopetition.forecasting.scores import brier, coverage, interval_score
from coopetition.proposal.proposals_folder import StoredPrediction

TIMES = np.linspace(0.0, 100.0, 21)
accuracies = st.lists(st.floats(0.0, 1.0), min_size=21, max_size=21).map(np.array)


@given(accuracies, accuracies)
def test_landmarks_of_paths_are_those_of_curves(flip, icl):
    curves = run_of({"flip": flip, "icl": icl}, TIMES)
    expected = landmarks(curves, exact=True)
    found = landmarks_of_paths(TIMES, flip[None], icl[None])
    for name in ("emergence", "crossover", "vanishing"):
        mark = getattr(expected, name)
        value = np.inf if mark is None else mark.value
        assert found[name][0] == pytest.approx(value, abs=1e-6)
    chances = verdict_probabilities(flip[None])
    assert chances[verdict(curves, exact=True)] == 1.0
    assert sum(chances.values()) == pytest.approx(1.0)


def test_vanishing_is_the_fall_of_icl_to_chance_after_emergence():
    flip = np.interp(TIMES, [0, 20, 50, 100], [0.5, 0.7, 0.4, 0.1])
    icl = np.interp(TIMES, [0, 20, 80, 100], [0.5, 0.9, 0.55, 0.5])
    found = landmarks_of_paths(TIMES, flip[None], icl[None])
    expected = landmarks(run_of({"flip": flip, "icl": icl}, TIMES), exact=True)
    assert found["vanishing"][0] == pytest.approx(expected.vanishing.value)


def test_futures_without_the_landmark_lie_beyond_the_horizon():
    values = np.concatenate([np.linspace(1.0, 2.0, 60), np.full(40, np.inf)])
    found = distribution(values, 0.9)
    assert found.probability == 0.6
    assert found.lower == pytest.approx(1.07, abs=0.02)
    assert found.median == pytest.approx(1.83, abs=0.02)
    assert found.upper is None


def test_verdicts_and_crossovers_of_paths() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    flip = np.array(
        [[0.5, 0.7, 0.6, 0.4], [0.5, 0.7, 0.8, 0.9], [0.5, 0.55, 0.5, 0.5], [0.5, 0.6, 0.4, 0.2]]
    )
    assert verdict_probabilities(flip) == {"persistent": 0.25, "transient": 0.5, "never": 0.25}
    assert landmarks_of_paths(x, flip)["crossover"].tolist() == pytest.approx(
        [2.5, np.inf, np.inf, 1.5]
    )
    found = distribution(landmarks_of_paths(x, flip)["crossover"], 0.9)
    assert (found.probability, found.upper) == (0.5, None)
    twice = np.array([[0.7, 0.4, 0.7, 0.4]])  # of several falls, the first
    assert landmarks_of_paths(x, twice)["crossover"][0] == pytest.approx(2 / 3)


@given(st.permutations(["persistent", "transient", "never"]), st.integers(0, 4), st.integers(0, 4))
def test_the_most_probable_verdict_is_one_whatever_the_order(names, first, second):
    chances = {"persistent": first / 8, "transient": second / 8, "never": 1 - (first + second) / 8}
    found = most_probable({name: chances[name] for name in names})
    assert found == most_probable(chances)
    assert chances[found] == max(chances.values())
    assert found == "never" or chances[found] > chances["never"]


def test_predictions_and_forecasts_agree_on_the_most_probable_verdict():
    for prediction in (Forecast, StoredPrediction):
        tie = SimpleNamespace(
            verdict_probability={"persistent": 0.5, "transient": 0.0, "never": 0.5}
        )
        assert prediction.verdict.fget(tie) == "never"


def test_scores_are_those_of_their_definitions():
    assert brier({"a": 0.5, "b": 0.5}, "a") == pytest.approx(0.5)
    assert brier({"a": 0.0, "b": 1.0}, "a") == pytest.approx(2.0)
    with pytest.raises(ValueError, match="unknown outcome"):
        brier({"a": 1.0}, "c")
    lower, upper = np.zeros(4), np.ones(4)
    truth = np.array([0.0, 0.5, 1.0, 1.2])
    assert coverage(lower, upper, truth) == 0.75
    assert interval_score(lower, upper, truth, 0.9) == pytest.approx(1 + 20 * 0.2 / 4)


def test_interval_score_is_least_for_the_true_quantiles():
    truth = np.random.default_rng(0).standard_normal(20_000)

    def score(reach: float) -> float:
        ends = np.full(len(truth), reach)
        return interval_score(-ends, ends, truth, 0.9)

    assert score(1.645) < min(score(1.3), score(2.1))
    assert abs(score(1.645) - 4.13) < 0.1  # 2 φ(z)·2/α of a standard normal


def test_a_path_that_starts_above_has_emerged_at_once():
    found = landmarks_of_paths(TIMES, np.full((1, 21), 0.8))
    assert found["emergence"][0] == 0.0
    assert found["crossover"][0] == np.inf
    assert abs(found["peak_flip"][0] - 0.8) < FLOAT64
    assert "vanishing" not in found
