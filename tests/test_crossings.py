"""Crossings and landmarks of many paths at once agree with plain Python, one path at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from forecast_problems import run_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64

from coopetition.curves.crossings import first_fall, first_rise, top
from coopetition.curves.landmarks import (
    EMERGED,
    NAMES,
    distribution,
    landmarks,
    landmarks_of_paths,
)
from coopetition.curves.verdicts import VERDICTS, verdict, verdicts_of_paths

TIMES = np.linspace(0.0, 100.0, 21)
LEVELS = (0.4, 0.5, 0.55, 0.6, 0.7)


@st.composite
def paths(draw):
    """Times ``(n,)``, flip and icl ``(3, n)``, often exactly at a level and often flat."""
    n = draw(st.integers(1, 12))
    gaps = draw(st.lists(st.floats(0.01, 100.0), min_size=n, max_size=n))
    accuracy = st.one_of(st.sampled_from(LEVELS), st.floats(0.0, 1.0))
    rows = st.lists(st.lists(accuracy, min_size=n, max_size=n), min_size=3, max_size=3)
    return np.cumsum(gaps), np.array(draw(rows)), np.array(draw(rows))


def place(x, y, i, level):
    """Where the line to point i takes the level."""
    where = x[i - 1] + (x[i] - x[i - 1]) * (level - y[i - 1]) / (y[i] - y[i - 1])
    return min(max(where, x[i - 1]), x[i])


def plain_fall(x, y, level, after):
    for i in range(1, len(x)):
        if y[i - 1] >= level and y[i] < level and place(x, y, i, level) >= after:
            return place(x, y, i, level)
    return math.inf


def plain_landmarks(x, flip, icl):
    """The definitions once more, word for word."""
    emergence = math.inf
    for i in range(len(x)):
        if flip[i] >= EMERGED:
            emergence = x[0] if i == 0 else place(x, flip, i, EMERGED)
            break
    highest = max(flip)
    return {
        "emergence": emergence,
        "peak": x[list(flip).index(highest)],
        "peak_flip": highest,
        "crossover": plain_fall(x, flip, 0.5, emergence),
        "vanishing": plain_fall(x, icl, 0.55, emergence),
    }


def plain_verdict(flip):
    if not any(value >= EMERGED for value in flip):
        return "never"
    return "persistent" if flip[-1] >= 0.5 else "transient"


@given(paths())
@settings(deadline=None)
def test_paths_at_once_are_each_path_by_itself(given_paths):
    x, flip, icl = given_paths
    marks, verdicts = landmarks_of_paths(x, flip, icl), verdicts_of_paths(flip)
    assert tuple(marks) == NAMES
    for k in range(len(flip)):
        expected = plain_landmarks(x.tolist(), flip[k].tolist(), icl[k].tolist())
        assert {name: values[k] for name, values in marks.items()} == expected
        assert VERDICTS[verdicts[k]] == plain_verdict(flip[k])


@given(paths())
@settings(deadline=None, max_examples=50)
def test_a_run_has_the_landmarks_and_the_verdict_of_its_path(given_paths):
    x, flip, icl = given_paths
    curves = run_of({"flip": flip[0], "icl": icl[0]}, x)
    found, marks = landmarks(curves, exact=True), landmarks_of_paths(x, flip, icl, smooth=True)
    for name in NAMES:
        mark = getattr(found, name)
        assert (math.inf if mark is None else mark.value) == marks[name][0]
    if len(x) > 1:
        assert verdict(curves, exact=True) == VERDICTS[verdicts_of_paths(flip)[0]]


def test_touching_a_level_is_no_fall_through_it():
    """Flip comes down to .5 and icl stays there: neither crossover nor vanishing."""
    x, flip, icl = np.arange(0.0, 40.0, 10.0), np.array([0.5, 0.7, 0.7, 0.5]), np.full(4, 0.5)
    found = landmarks(run_of({"flip": flip, "icl": icl}, x), exact=True)
    assert found.emergence.value == pytest.approx(5.0, abs=FLOAT64)
    assert (found.crossover, found.vanishing) == (None, None)
    marks = landmarks_of_paths(x, flip[None], icl[None])
    assert np.isinf([marks["crossover"][0], marks["vanishing"][0]]).all()
    assert verdict(run_of({"flip": flip, "icl": icl}, x), exact=True) == "persistent"


@given(values=st.lists(st.floats(0, 1), min_size=3, max_size=30), level=st.floats(0.05, 0.95))
@example(values=[2e-311, 0.0, 0.0], level=0.5)
@settings(deadline=None)
def test_crossings_are_where_the_curve_has_the_level(values, level):
    x, y = np.arange(len(values), dtype=float), np.array(values)
    rise = float(first_rise(x, y, level))
    if rise == np.inf:
        assert np.all(y < level)
        return
    assert np.all(y[x < rise] < level)
    assert np.interp(rise, x, y) == pytest.approx(level, abs=1e-9) or rise == 0
    fall = float(first_fall(x, y, level, after=np.array(rise)))
    if fall == np.inf:
        assert np.all(y[x > rise] >= level) or y[-1] < level
    else:
        assert fall >= rise
        assert np.interp(fall, x, y) == pytest.approx(level, abs=1e-9)


def test_a_path_that_becomes_no_number_does_not_fall():
    y = np.array([[0.75, np.nan, np.nan], [0.75, 0.25, np.nan]])
    assert first_fall(np.arange(3.0), y, 0.5, after=np.zeros(2)).tolist() == [np.inf, 0.5]


def test_peak_between_points_lies_on_the_parabola():
    t = np.array([0.0, 1.0, 3.5, 4.75, 6.0, 8.0])
    hills = np.array([0.8 - 0.05 * (t - 4) ** 2, t, -t, np.ones(6)])  # and at an end, or flat
    at, height = top(t, hills)
    assert at == pytest.approx([4, 8, 0, 0], abs=FLOAT64)
    assert height == pytest.approx([0.8, 8, 0, 1], abs=FLOAT64)


def test_of_several_falls_the_first_after_emergence_counts():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    flip = np.array([[0.7, 0.4, 0.7, 0.4], [0.55, 0.45, 0.7, 0.3], [0.5, 0.6, 0.55, 0.5]])
    crossover = landmarks_of_paths(x, flip)["crossover"]
    assert crossover.tolist() == pytest.approx([2 / 3, 2.5, np.inf])


def test_a_path_that_starts_above_has_emerged_at_once():
    marks = landmarks_of_paths(TIMES, np.full((1, 21), 0.8))
    assert marks["emergence"][0] == 0.0
    assert marks["crossover"][0] == np.inf
    assert abs(marks["peak_flip"][0] - 0.8) < FLOAT64
    assert "vanishing" not in marks


def test_vanishing_is_the_fall_of_icl_to_chance_after_emergence():
    flip = np.interp(TIMES, [0, 20, 50, 100], [0.5, 0.7, 0.4, 0.1])
    icl = np.interp(TIMES, [0, 20, 80, 100], [0.5, 0.9, 0.55, 0.5])
    marks = landmarks_of_paths(TIMES, flip[None], icl[None] - 0.05)
    assert marks["vanishing"][0] == pytest.approx(20 + 60 * 0.3 / 0.35)


def test_draws_without_the_landmark_lie_beyond_the_horizon():
    values = np.concatenate([np.linspace(1.0, 2.0, 60), np.full(40, np.inf)])
    forecast = distribution(values, 0.9)
    assert forecast.probability == 0.6
    assert forecast.lower == pytest.approx(1.07, abs=0.02)
    assert forecast.median == pytest.approx(1.83, abs=0.02)
    assert forecast.upper is None
