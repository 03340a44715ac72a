"""Landmarks against curves whose crossings are known, and against the published runs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import DIGITISED_FLIP, FLOAT64, PLATEAU_BIAS, STANDARD_ERRORS

from coopetition import Curve, Curves
from coopetition.curves.landmarks import NAMES, landmarks
from coopetition.curves.smoothing import smooth_curve
from coopetition.curves.verdicts import verdict
from coopetition.logs import published_runs, read_curves


def made(flip, icl=None, *, sequences=None, source=None, sem=None, metric="in_context_acc"):
    """A run of given accuracies; exact by default."""
    sequences = np.arange(len(flip), dtype=float) if sequences is None else sequences
    curves = {("flip", metric): flip, **({} if icl is None else {("icl", metric): icl})}
    return Curves(
        run="made",
        curves={
            (e, m): Curve(evaluator=e, metric=m, sequences=sequences, values=values, sem=sem)
            for (e, m), values in curves.items()
        },
        source={"model": "by hand"} if source is None else source,
    )


def hill(t):
    """A flip curve with emergence at 2, peak 0.8 at 4, crossover at 6.4495 (all exact)."""
    return 0.8 - 0.05 * (t - 4) ** 2


def test_exact_curves_are_interpolated():
    found = landmarks(
        made([0.5, 0.5, 0.7, 0.8, 0.7, 0.4, 0.1], [0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.5])
    )
    assert found.emergence.value == pytest.approx(1.5, abs=FLOAT64)
    assert found.crossover.value == pytest.approx(4 + 2 / 3, abs=FLOAT64)
    assert found.vanishing.value == pytest.approx(5.5, abs=FLOAT64)
    assert (found.peak.value, found.peak_flip.value) == pytest.approx((3, 0.8), abs=FLOAT64)
    assert found.final["flip"].value == 0.1
    assert found.emergence.lower is None
    assert found.horizon == 6


def test_never_has_a_peak_and_nothing_else():
    found = landmarks(made([0.5, 0.55, 0.4, 0.2], [0.5, 0.7, 0.6, 0.5]))
    assert (found.emergence, found.crossover, found.vanishing) == (None, None, None)
    assert found.peak_flip.value >= 0.55


def test_a_run_without_icl_says_so():
    found = landmarks(made([0.55, 0.45, 0.7, 0.7, 0.3]))
    assert found.crossover.value == pytest.approx(3.5, abs=FLOAT64)
    assert any("no icl" in note for note in found.notes)


def test_a_curve_that_starts_emerged_emerges_at_its_start():
    assert landmarks(made([0.9, 0.8, 0.7])).emergence.value == 0


@given(
    scale=st.floats(1e-3, 1e9),
    flip=st.lists(st.floats(0, 1), min_size=4, max_size=20),
)
@settings(deadline=None, max_examples=50)
def test_stretching_time_stretches_landmarks_and_keeps_the_verdict(scale, flip):
    x = np.arange(len(flip), dtype=float)
    plain, stretched = made(flip, flip), made(flip, flip, sequences=x * scale)
    one, other = landmarks(plain).as_dict(), landmarks(stretched).as_dict()
    for name in ("emergence", "crossover", "vanishing", "peak"):
        assert (one[name] is None) == (other[name] is None)
        if one[name] is not None:
            assert other[name] == pytest.approx(one[name] * scale, rel=1e-9)
    # at a point: between two, a flip of exactly 0.5 may be rounded to either side
    assert verdict(plain, 2.0) == verdict(stretched, 2.0 * scale)


@pytest.mark.parametrize("changes", [{"level": 1.0}, {"level": 0.0}, {"replicates": 3}])
def test_bad_arguments_are_named(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        landmarks(made([0.5, 0.6, 0.7]), **changes)


def noisy(rng, n=150, sd=0.03, shift=0.0):
    t = np.linspace(0, 8, n)
    return made(hill(t) + shift + sd * rng.standard_normal(n), sequences=t, source={}, sem=None)


def test_noise_common_to_all_points_is_what_residuals_leave_of_the_standard_error():
    t = np.linspace(0, 8, 100)
    run = made(hill(t), sequences=t, source={}, sem=np.full(100, 0.02))
    smooth = smooth_curve(run.curve("flip"))
    np.testing.assert_allclose(smooth.shift, 0.02, rtol=0.05)
    assert landmarks(run).crossover.upper - landmarks(run).crossover.lower > 0.1


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    truth = {"emergence": 2.0, "peak_flip": 0.8, "crossover": 4 + 6**0.5}
    tries = 60
    hits = dict.fromkeys(truth, 0)
    for _ in range(tries):
        found = landmarks(noisy(rng), level=0.9, replicates=60, rng=rng)
        for name, value in truth.items():
            mark = getattr(found, name)
            hits[name] += mark.lower <= value <= (np.inf if mark.upper is None else mark.upper)
    error = (0.9 * 0.1 / tries) ** 0.5
    for name, count in hits.items():
        assert count / tries > 0.9 - STANDARD_ERRORS * error, name


@pytest.mark.parametrize("n", [60, 600, 6000])
def test_errors_of_0_at_accuracies_of_0_or_1_do_not_widen_intervals(n):
    """Without n in the log, intervals are about those with it."""
    x = np.arange(60.0)
    truth = np.clip(0.5 + 0.51 * np.sin(x / 12), 0.0, 1.0)
    measured = np.random.default_rng(0).binomial(n, truth) / n
    sem = np.sqrt(measured * (1 - measured) / n)
    assert np.sum(sem == 0) > 5
    curve = Curve(evaluator="flip", metric="in_context_acc", sequences=x, values=measured, sem=sem)
    counted = dataclasses.replace(curve, n=np.full(60, float(n)))
    without, told = (
        landmarks(Curves(run="measured", curves={("flip", "in_context_acc"): one})).crossover
        for one in (curve, counted)
    )
    assert without.value == told.value
    assert without.upper - without.lower == pytest.approx(told.upper - told.lower, rel=0.3)


@pytest.mark.parametrize("points", [40, 150])
def test_the_height_of_a_plateau_is_not_that_of_its_noise(points):
    rng = np.random.default_rng(6)
    x = np.linspace(0, 100, points)
    plateau = np.minimum(0.5 + 0.015 * x, 0.8)
    tries, hits, heights = 60, 0, []
    for _ in range(tries):
        measured = rng.binomial(500, plateau) / 500
        sem = np.sqrt(measured * (1 - measured) / 500)
        run = made(measured, sequences=x, source={}, sem=sem)
        mark = landmarks(run, level=0.9, replicates=60, rng=rng).peak_flip
        hits += mark.lower <= 0.8 <= mark.upper
        heights.append(mark.value)
    assert hits / tries > 0.9 - STANDARD_ERRORS * (0.9 * 0.1 / tries) ** 0.5
    assert np.mean(heights) == pytest.approx(0.8, abs=PLATEAU_BIAS)


def test_an_event_at_the_end_of_the_data_has_no_upper_bound():
    rng = np.random.default_rng(4)
    t = np.linspace(0, 6.46, 120)
    run = made(hill(t) + 0.03 * rng.standard_normal(120), sequences=t, source={})
    found = landmarks(run)
    if found.crossover is not None:
        assert found.crossover.upper is None
    assert landmarks(made(hill(t), sequences=t)).crossover.value == pytest.approx(6.449, abs=1e-3)


def test_landmarks_repeat_exactly_and_long_curves_are_thinned():
    t = np.linspace(0, 8, 5001)
    rng = np.random.default_rng(5)
    run = made(hill(t) + 0.02 * rng.standard_normal(5001), sequences=t, source={})
    one, other = landmarks(run, replicates=20), landmarks(run, replicates=20)
    assert one == other
    assert one.emergence.value == pytest.approx(2, abs=0.05)
    assert any("of 1667 points" in note for note in one.notes)
    # the horizon is that of the log, not of its averages
    assert one.horizon == 8
    assert [verdict(run, horizon) for horizon in (0.0, 1e-4, 8.0, 8.001)] == [
        "never", "never", "transient", "transient",
    ]  # fmt: skip
    for outside in (-1e-4, 8.002):
        with pytest.raises(ValueError, match="covers 0 to 8"):
            verdict(run, outside)


def test_as_dict_and_summary():
    found = landmarks(made([0.5, 0.7, 0.4], [0.5, 0.7, 0.6]))
    plain = found.as_dict()
    assert set(NAMES) < set(plain)
    assert plain["vanishing"] is None
    assert plain["crossover"] == pytest.approx(1 + 2 / 3, abs=FLOAT64)
    assert "vanishing  none" in found.summary()
    assert "made (to 2 sequences)" in found.summary()


# first evaluation below 0.5 after the peak, spacing there, peak flip (arXiv 2503.05631, digitised)
PUBLISHED = {
    "main": (6.35e6, 5e4, 0.71),
    "ts3": (5.8e6, 3.5e5, 0.68),
    "is6": (10.3e6, 3.5e5, 0.78),
    "c12800_ex5": (11.6e6, 5e5, 0.74),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_crossovers(name):
    first_below, spacing, peak = PUBLISHED[name]
    (run,) = read_curves(f"published:{name}")
    found = landmarks(run)
    assert first_below - 1.5 * spacing < found.crossover.value < first_below + 0.5 * spacing
    assert found.crossover.lower < found.crossover.value < found.crossover.upper
    assert found.peak_flip.value == pytest.approx(peak, abs=DIGITISED_FLIP)


def test_every_published_run_has_landmarks_or_says_why():
    for name in published_runs():
        (run,) = read_curves(f"published:{name}")
        found = landmarks(run, replicates=20)
        assert found.final
        if found.peak is None:
            assert any("no flip accuracy" in note for note in found.notes)
    (long_main,) = read_curves("published:long_main")
    assert any("read from acc" in note for note in landmarks(long_main, replicates=20).notes)
    (losses,) = read_curves("published:icl_only")
    assert set(landmarks(losses).final) == {"icl/loss"}
