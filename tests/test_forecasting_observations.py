"""Observations, prior and discrepancy: densities against scipy's, averaging, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_problems import Line, run_of
from scipy import stats
from tolerances import ROUNDING, STANDARD_ERRORS

from coopetition.errors import LogError
from coopetition.forecasting import Discrepancy, ParameterPrior
from coopetition.forecasting.observations import observations
from coopetition.forecasting.prior import FREEDOM

TIMES = np.linspace(0.0, 1e6, 12)
SAMPLED = 0.1  # relative error of a share of 800 draws, with a margin


def log_of(values: np.ndarray):
    curves = run_of({"flip": values, "icl": values[::-1]}, TIMES)
    return observations(curves, Discrepancy(), until=1e6, points=12)


def test_likelihood_is_that_of_the_discrepancy_and_the_noise():
    log = log_of(0.5 + 0.3 * np.sin(TIMES / 2e5))
    rng = np.random.default_rng(1)
    curves = {e: rng.uniform(0.4, 0.6, (3, len(log.times))) for e in ("flip", "icl")}
    found = log.log_likelihoods(curves)
    form = log.discrepancy
    for j, (scale, weight) in enumerate(zip(form.scales, form.weights, strict=True)):
        total = np.full(3, np.log(weight))
        for record in log.records:
            smooth = form.correlation(record.log_time, record.log_time)
            covariance = scale**2 * smooth * np.outer(record.deviation, record.deviation)
            covariance += np.diag(record.noise**2)
            normal = stats.multivariate_normal(record.values, covariance)
            constant = 0.5 * len(record.values) * np.log(2 * np.pi)
            total += normal.logpdf(curves[record.evaluator][:, record.at]) + constant
        np.testing.assert_allclose(found[:, j], total, rtol=1e-7)
    both = log.log_likelihood(curves)
    np.testing.assert_allclose(both, np.logaddexp.reduce(found, axis=1), rtol=ROUNDING)


def test_whitened_residuals_give_the_same_sum_of_squares():
    theory, log = Line(span=1e6), log_of(np.linspace(0.5, 0.6, 12))
    theta = np.array([0.2, 0.5])
    residuals, jacobian = log.residuals(theory.slopes(theta, log.times), 1)
    likelihood = log.log_likelihoods(theory.curves(theta[None], log.times))[0, 1]
    determinants = sum(record.log_determinants[1] for record in log.records)
    expected = np.log(log.discrepancy.weights[1]) - 0.5 * (residuals @ residuals + determinants)
    assert likelihood == pytest.approx(expected)
    moved = log.residuals(theory.slopes(theta + np.array([0.1, 0.0]), log.times), 1)[0]
    np.testing.assert_allclose((moved - residuals) / 0.1, jacobian[:, 0], rtol=1e-6)


def test_a_failed_simulation_is_improbable_not_an_error():
    log = log_of(np.full(12, 0.5))
    curves = {e: np.full((1, len(log.times)), np.nan) for e in ("flip", "icl")}
    assert log.log_likelihood(curves)[0] < -1e5


def test_blocks_average_values_and_keep_the_cut():
    times = np.arange(0.0, 1000.0)
    curves = run_of({"flip": times / 1000}, times)
    log = observations(curves, Discrepancy(), until=500.0, points=5)
    (record,) = log.records
    assert len(record.values) == 5
    np.testing.assert_allclose(record.values * 1000, record.sequences)
    assert record.sequences[-1] < 500.0
    assert log.times[0] == 0.0


def test_a_long_log_keeps_its_first_wave():
    times = np.linspace(0.0, 1e9, 20_001)
    wave = 0.5 + 0.4 * np.exp(-(((times - 4e6) / 2e6) ** 2))
    (record,) = observations(
        run_of({"flip": wave}, times), Discrepancy(), until=1e9, points=40
    ).records
    assert record.values.max() > 0.8  # forty equal blocks would leave 0.57


def test_a_head_start_moves_the_origin():
    curves = run_of({"flip": np.full(12, 0.4)}, TIMES + 4e6)
    log = observations(curves, Discrepancy(), until=5e6, origin=4e6)
    assert log.records[0].sequences[0] == pytest.approx(0.0)


@pytest.mark.parametrize("until", [0.0, 1e4])
def test_a_log_with_nothing_before_the_cut_is_refused(until):
    with pytest.raises(LogError, match="settings alone"):
        observations(run_of({"flip": np.full(12, 0.4)}, TIMES), Discrepancy(), until=until)


@pytest.mark.parametrize(
    "changes",
    [{"length": 0.0}, {"noise": -1.0}, {"weights": (1.0,)}, {"spread": {"flip": 0.1}}],
)
def test_an_impossible_discrepancy_is_refused(changes):
    with pytest.raises(ValueError, match=r"discrepancy|weights"):
        Discrepancy(**changes)


def test_prior_is_the_student_distribution():
    mean, covariance = np.array([1.0, -2.0]), np.array([[0.5, 0.2], [0.2, 0.3]])
    prior = ParameterPrior(names=("a", "b"), mean=mean, covariance=covariance)
    student = stats.multivariate_t(mean, covariance, df=FREEDOM)
    points = mean + np.array([[0.0, 0.0], [1.0, 0.5], [-3.0, 2.0]])
    expected = student.logpdf(points) - student.logpdf(mean)
    np.testing.assert_allclose(prior.log_density(points), expected, rtol=1e-9, atol=1e-12)
    draws = prior.sample(40_000, np.random.default_rng(0))
    spread = np.sqrt(np.diag(covariance) * FREEDOM / (FREEDOM - 2))
    error = spread / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < STANDARD_ERRORS * error)
    inside = np.mean(np.abs(draws[:, 0] - 1.0) < np.sqrt(0.5) * stats.t(FREEDOM).ppf(0.9))
    assert inside == pytest.approx(0.8, abs=0.01)
    assert prior.median("a") == pytest.approx(np.e)
    low, high = np.log(prior.interval("b", level=0.8))
    inside = np.mean((draws[:, 1] > low) & (draws[:, 1] < high))
    assert inside == pytest.approx(0.8, abs=0.01)
    assert low + high == pytest.approx(2 * mean[1])


def test_so_many_draws_lie_farther_than_the_prior_says():
    prior = ParameterPrior(names=("a", "b"), mean=np.zeros(2), covariance=np.diag([1.0, 4.0]))
    lengths = prior.distance(prior.sample(40_000, np.random.default_rng(3)))
    for share in (0.5, 0.1, 0.02):
        found = prior.farther(float(np.quantile(lengths, 1 - share)))
        assert found == pytest.approx(share, rel=SAMPLED)
