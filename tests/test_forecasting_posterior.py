"""The population against posteriors known in closed form, and paths that continue what was seen."""

from __future__ import annotations

import dataclasses

import numpy as np
from forecast_problems import Folded, Line, run_of
from tolerances import DRAWS

from coopetition.forecasting import Discrepancy, ParameterPrior
from coopetition.forecasting.forecasts import posterior
from coopetition.forecasting.observations import observations
from coopetition.forecasting.paths import predictive_paths

TIMES = np.linspace(0.0, 100.0, 15)
ONE_SCALE = Discrepancy(scales=(1.0,), weights=(1.0,), early=50.0, likelihood_power=1.0)


class NormalPrior(ParameterPrior):
    """The same prior without the tails, so that the posterior is Gaussian."""

    def sample(self, count, rng):
        factor = np.linalg.cholesky(self.covariance)
        return self.mean + rng.standard_normal((count, len(self.mean))) @ factor.T

    def log_density(self, thetas):
        return -0.5 * self.distance(thetas) ** 2


PRIOR = NormalPrior(names=("level", "slope"), mean=np.zeros(2), covariance=np.eye(2))


def test_population_is_the_gaussian_posterior_of_a_linear_theory():
    theory = Line()
    measured = 0.5 + theory.design(TIMES) @ np.array([0.8, -1.0])
    log = observations(run_of({"flip": measured}, TIMES), ONE_SCALE, until=100.0, points=15)
    zero = theory.slopes(np.zeros(2), log.times)
    residuals, jacobian = log.residuals(zero, 0)
    precision = jacobian.T @ jacobian + np.eye(2)
    mean = np.linalg.solve(precision, -jacobian.T @ residuals)
    spread = np.sqrt(np.diag(np.linalg.inv(precision)))
    rng = np.random.default_rng(0)
    found = posterior(theory, PRIOR, log, rng, draws=3000, moves=4)
    assert np.all(np.abs(found.thetas.mean(axis=0) - mean) < DRAWS * spread)
    assert np.all(np.abs(found.thetas.std(axis=0) / spread - 1) < DRAWS)
    assert found.evaluations > 3000


def test_less_trust_leaves_more_open():
    theory = Line()
    measured = 0.5 + theory.design(TIMES) @ np.array([0.8, -1.0])
    found = []
    for likelihood_power in (1.0, 0.25):
        form = dataclasses.replace(ONE_SCALE, likelihood_power=likelihood_power)
        log = observations(run_of({"flip": measured}, TIMES), form, until=100.0, points=15)
        zero = theory.slopes(np.zeros(2), log.times)
        jacobian = log.residuals(zero, 0)[1]
        spread = np.sqrt(
            np.diag(np.linalg.inv(likelihood_power * jacobian.T @ jacobian + np.eye(2)))
        )
        thetas = posterior(theory, PRIOR, log, np.random.default_rng(4), draws=3000).thetas
        assert np.all(np.abs(thetas.std(axis=0) / spread - 1) < DRAWS)
        found.append(thetas[:, 1].std())
    assert found[1] > found[0]


def test_both_modes_survive():
    theory = Folded()
    log = observations(run_of({"flip": np.full(15, 0.65)}, TIMES), ONE_SCALE, until=100.0)
    found = posterior(theory, PRIOR, log, np.random.default_rng(1), draws=1000)
    share = np.mean(found.thetas[:, 0] > 0)
    assert 0.35 < share < 0.65
    assert abs(np.mean(np.abs(found.thetas[:, 0])) - 1.5) < 0.3


def test_paths_continue_the_log_and_return_to_the_theory():
    theory = Line()
    seen = TIMES[TIMES <= 50]
    shifted = np.full(len(seen), 0.56)  # the theory says 0.5, always
    log = observations(run_of({"flip": shifted}, seen, sem=0.001), ONE_SCALE, until=50.0, points=15)
    grid = np.array([51.0, 1e5])
    found = predictive_paths(
        theory, np.zeros((4000, 2)), grid, ONE_SCALE, np.random.default_rng(2), observations=log
    )["flip"]
    near, far = np.mean(found, axis=0)
    assert abs(near - 0.56) < 0.01
    assert abs(far - 0.5) < 0.01
    assert np.std(found[:, 0]) < np.std(found[:, 1])
    # far ahead the spread is the discrepancy's own
    expected = ONE_SCALE.deviation("flip", np.array([0.5]))[0]
    assert abs(np.std(found[:, 1]) / expected - 1) < DRAWS


def test_paths_before_a_run_are_theory_and_discrepancy():
    theory = Line()
    grid = np.linspace(1.0, 100.0, 7)
    rng = np.random.default_rng(3)
    found = predictive_paths(theory, np.zeros((3000, 2)), grid, Discrepancy(early=50.0), rng)
    assert found["icl"].shape == (3000, 7)
    form = Discrepancy()
    variance = sum(w * s**2 for w, s in zip(form.weights, form.scales, strict=True))
    expected = np.sqrt(variance) * form.deviation("icl", np.array([0.5]))[0]
    assert abs(np.std(found["icl"][:, 3]) / expected - 1) < DRAWS
