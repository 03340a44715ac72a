"""Extrapolations: exact where the curve is what they assume, and uncertain where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from coopetition.forecasting.theories import EXTRAPOLATIONS, GaussianProcess, LastValue, LogitLinear

TIMES = np.linspace(0.0, 10.0, 21)
AHEAD = np.linspace(11.0, 30.0, 8)


@pytest.mark.parametrize("method", EXTRAPOLATIONS, ids=lambda m: m.name)
def test_paths_are_accuracies_and_widen(method):
    rng = np.random.default_rng(0)
    wave = 0.6 + 0.1 * np.sin(TIMES) + 0.01 * rng.standard_normal(21)
    found = method.paths(TIMES, wave, AHEAD, rng, draws=400)
    assert found.shape == (400, len(AHEAD))
    assert np.all((found >= 0) & (found <= 1))
    assert np.std(found[:, -1]) > 0.9 * np.std(found[:, 0])


def test_last_value_stays_on_average():
    rng = np.random.default_rng(1)
    walk = 0.5 + 0.01 * np.cumsum(rng.standard_normal(21))
    found = LastValue().paths(TIMES, walk, AHEAD, rng, draws=4000)
    assert abs(np.mean(found[:, -1]) - np.mean(walk[-3:])) < 0.01


def test_a_line_on_the_logit_scale_is_continued_exactly():
    logit = 1.5 - 0.1 * TIMES
    found = LogitLinear().paths(
        TIMES, 1 / (1 + np.exp(-logit)), AHEAD, np.random.default_rng(2), draws=200
    )
    np.testing.assert_allclose(found, np.tile(1 / (1 + np.exp(-1.5 + 0.1 * AHEAD)), (200, 1)))


def test_gaussian_process_continues_smoothly_and_forgets():
    values = 0.5 + 0.3 * np.exp(-(((TIMES - 8) / 4) ** 2))
    rng = np.random.default_rng(3)
    found = GaussianProcess().paths(TIMES, values, np.array([10.2, 60.0]), rng, draws=1000)
    assert abs(np.median(found[:, 0]) - values[-1]) < 0.03
    assert np.std(found[:, 1]) > 5 * np.std(found[:, 0])
