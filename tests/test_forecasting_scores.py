"""Scores are those of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from coopetition.forecasting.scores import brier, coverage, interval_score


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
