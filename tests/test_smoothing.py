"""The smoother keeps what is smooth and knows how noisy the rest is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition import Curve
from coopetition.curves.smoothing import exact_curve, local_quadratic, narrow_smoother, smooth_curve


def accuracy(t, values, **given):
    return Curve(evaluator="icl", metric="in_context_acc", sequences=t, values=values, **given)


def test_smoother_keeps_quadratics_and_weights_sum_to_one():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 1e7, 60))
    y = 3 + 2e-7 * x - 4e-14 * x**2
    for span in (5, 13, 39):
        smoother = local_quadratic(x, span)
        assert smoother.span == span
        np.testing.assert_allclose(smoother.weights.sum(axis=1), 1, atol=1e-9)
        np.testing.assert_allclose(smoother(y), y, atol=1e-9)
    with pytest.raises(ValueError, match="span = 3"):
        local_quadratic(x, 3)


def test_smoothing_brings_noise_down_and_estimates_it():
    rng = np.random.default_rng(2)
    t = np.linspace(0, 8, 150)
    truth = 0.8 - 0.05 * (t - 4) ** 2
    run = accuracy(t, truth + 0.03 * rng.standard_normal(150))
    smooth = smooth_curve(run)
    assert np.std(smooth.values - truth) < 0.5 * np.std(run.values - truth)
    assert narrow_smoother(run.sequences, run.values).span >= 13
    middle = smooth.jitter[60:90].mean()
    assert middle == pytest.approx(0.03, rel=0.3)


def test_zero_standard_errors_of_perfect_accuracies_are_not_believed():
    t = np.arange(10.0)
    smooth = smooth_curve(
        accuracy(t, np.ones(10), sem=np.r_[0.02, np.zeros(9)], n=np.full(10, 500.0))
    )
    assert smooth.error[-1] == pytest.approx(1 / 502, rel=0.3)


@given(
    values=st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=6, max_size=20),
    sizes=st.lists(st.sampled_from([0.0, 1e-9, 0.02, np.nan]), min_size=6, max_size=20),
    counted=st.sampled_from([None, np.nan, 0.0, 200.0]),
)
@settings(deadline=None, max_examples=50)
def test_errors_are_numbers_whatever_part_of_them_is_known(values, sizes, counted):
    points = min(len(values), len(sizes))
    n = None if counted is None else np.full(points, counted)
    curve = accuracy(np.arange(points), values[:points], sem=np.array(sizes[:points]), n=n)
    smooth = smooth_curve(curve)
    assert np.all(np.isfinite(smooth.values))
    assert np.all(np.isfinite(smooth.error) & (smooth.error >= 0))


def test_few_points_and_exact_curves_are_left_as_they_are():
    few = accuracy(np.arange(5.0), [0.5, 0.9, 0.1, 0.7, 0.3], sem=np.full(5, 0.02))
    np.testing.assert_array_equal(smooth_curve(few).values, few.values)
    np.testing.assert_allclose(smooth_curve(few).error, 0.02)
    exact = exact_curve(few)
    np.testing.assert_array_equal(exact.replicate(np.random.default_rng(0)), few.values)


def test_replicates_scatter_as_the_error_says():
    rng = np.random.default_rng(6)
    t = np.linspace(0, 1, 80)
    values = 0.5 + 0.01 * rng.standard_normal(80)
    smooth = smooth_curve(accuracy(t, values, sem=np.full(80, 0.02)))
    again = np.array([smooth.replicate(rng) for _ in range(2000)])
    np.testing.assert_allclose(again.std(axis=0), smooth.error, rtol=0.1)
    np.testing.assert_allclose(again.mean(axis=0), smooth.values, atol=0.003)
