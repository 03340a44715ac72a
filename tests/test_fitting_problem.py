"""What a fit rests on: symmetries, exact derivatives, intervals, residual diagnostics."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
from fitted_curves import ACCURACIES, TRUTH, made_by
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tolerances import FINITE_DIFFERENCES, ROUNDING, SAME_CURVE, STANDARD_ERRORS

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.readout import predicted_keys
from coopetition.fitting import FitSettings, Parameter, gauge, scaling_symmetries
from coopetition.fitting.information import information
from coopetition.fitting.measurements import measurements
from coopetition.fitting.multistart import one_blas_thread
from coopetition.fitting.parameters import gain_parameters, model_parameters
from coopetition.fitting.problem import PENALTY, Problem, readout_form
from coopetition.fitting.residuals import diagnose, overstatement, residual_noise

KEY = ("icl", "in_context_acc")


def problem_of(model_name: str, *, losses: bool = False, **changes: object) -> Problem:
    """The default problem of a catalogue model on curves of its own making."""
    model = get(model_name)
    keys = predicted_keys(model.strategy_names)
    base = made_by(TRUTH, points=24)
    curve = base.curve("flip")
    curves = dataclasses.replace(
        base,
        curves={k: dataclasses.replace(curve, evaluator=k[0], metric=k[1]) for k in keys},
    )
    chosen = FitSettings(losses=losses, rtol=1e-10, atol=1e-12).changed(**changes)
    data = measurements(curves, model.strategy_names, chosen)
    parameters = (
        *model_parameters(model, float(data.sequences[-1])),
        *gain_parameters(model, data.keys, readout_form(chosen)),
    )
    return Problem(model, parameters, data, chosen)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_default_parameters_leave_no_scaling_free(name: str) -> None:
    model = get(name)
    held = [p.name for p in model_parameters(model, 1e6) if not p.vary and p.value != 0]
    assert scaling_symmetries(model, held) == ()
    targets = [f"S_{v}" for v in model.vectors]
    needed = gauge(model, targets)
    for name_left_out in needed:  # none of those held could be spared
        fewer = [*targets, *(n for n in needed if n != name_left_out)]
        assert len(scaling_symmetries(model, fewer)) == 1


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.4, 0.4), min_size=7, max_size=7))
def test_scalings_change_no_curve(amounts: list[float]) -> None:
    truth = {
        **TRUTH,
        **{f"n_{v}": 20.0 for v in "abc"},
        **{f"S_{v}": 1.0 for v in "abcd"},
        **{f"y_{v}": 0.2 for v in "abcd"},
    }
    symmetries = scaling_symmetries(get("coopetition"), [])
    assert len(symmetries) == 7  # 3 of the vectors, 4 of their targets
    moved = dict(truth)
    for amount, symmetry in zip(amounts, symmetries, strict=True):
        size = max(map(abs, symmetry.values()))
        for name, exponent in symmetry.items():
            moved[name] *= np.exp(amount * exponent / size)
    ratio = moved["sequences_per_time"] / truth["sequences_per_time"]
    one, other = made_by(truth, points=20), made_by(moved, until=4000.0 / ratio, points=20)
    for key in ACCURACIES:
        assert other.curves[key].sequences == pytest.approx(one.curves[key].sequences)
        assert other.curves[key].values == pytest.approx(one.curves[key].values, abs=SAME_CURVE)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_jacobian_equals_finite_differences(name: str) -> None:
    problem = problem_of(name, losses=True, separate_flip=True)
    middle = 0.5 * (problem.lower + problem.upper)
    theta = middle + 0.05 * np.random.default_rng(1).standard_normal(len(middle))
    jacobian = problem.evaluate(theta).jacobian
    assert not problem.evaluate(theta).failed
    step = 1e-4
    for j, parameter in enumerate(problem.free):
        shift = step * np.eye(len(theta))[j]
        ends = [problem.evaluate(theta + sign * shift).residuals for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        scale = np.max(np.abs(jacobian[:, j])) + 1.0
        assert np.max(np.abs(slope - jacobian[:, j])) < 10 * FINITE_DIFFERENCES * scale, (
            parameter.name
        )


def test_batch_costs_equal_single_evaluations() -> None:
    problem = problem_of("coopetition")
    rng = np.random.default_rng(2)
    thetas = problem.lower + rng.random((5, len(problem.free))) * (problem.upper - problem.lower)
    single = [float(np.sum(problem.evaluate(theta).residuals ** 2)) for theta in thetas]
    assert problem.costs(thetas) == pytest.approx(single, rel=1e-6)
    assert problem.costs(thetas, coarse=True) == pytest.approx(single, rel=0.2)


def test_a_failed_simulation_is_a_penalty_not_an_error() -> None:
    problem = problem_of("coopetition", max_steps=3)
    theta = 0.5 * (problem.lower + problem.upper)
    evaluation = problem.evaluate(theta)
    assert evaluation.failed
    assert np.all(evaluation.residuals == PENALTY)
    assert not evaluation.jacobian.any()
    assert problem.costs(theta[None, :])[0] == PENALTY**2 * problem.measurements.count


def linear(count: int) -> list[Parameter]:
    return [
        Parameter(name=f"p{j}", value=0.0, lower=-50.0, upper=50.0, scale="linear")
        for j in range(count)
    ]


def test_intervals_of_a_linear_model_are_the_textbook_ones() -> None:
    rng = np.random.default_rng(0)
    design = np.stack([np.ones(200), np.linspace(-1, 1, 200)], axis=1)
    residuals = rng.standard_normal(200)
    residuals -= design @ np.linalg.lstsq(design, residuals, rcond=None)[0]
    scale = residuals @ residuals / 198
    known = information(linear(2), np.array([1.0, 2.0]), residuals, design, scale)
    expected = scale * np.linalg.inv(design.T @ design)
    assert known.covariance == pytest.approx(expected, rel=ROUNDING)
    half = known.parameters[1].upper - known.parameters[1].value
    assert half == pytest.approx(1.972 * np.sqrt(expected[1, 1]), rel=1e-3)  # t, 198 degrees
    assert known.null_directions == ()


def test_a_direction_without_effect_is_named_and_the_rest_keeps_its_interval() -> None:
    rng = np.random.default_rng(0)
    column = rng.standard_normal(100)
    design = np.stack([column, -column, rng.standard_normal(100)], axis=1)
    known = information(linear(3), np.zeros(3), rng.standard_normal(100), design, 1.0)
    (direction,) = known.null_directions
    assert direction["p0"] == pytest.approx(direction["p1"])
    assert "p2" not in direction
    assert [p.status for p in known.parameters] == ["undetermined", "undetermined", "determined"]
    assert known.parameters[0].lower is None
    assert np.isnan(known.covariance[0, 1])
    assert np.isfinite(known.covariance[2, 2])


def test_a_parameter_pushed_against_its_bound_gets_a_one_sided_interval() -> None:
    design = np.stack([np.ones(50), np.linspace(0, 1, 50)], axis=1)
    residuals = np.full(50, 1.0)  # χ² falls as p0 falls, but p0 is at its lower bound
    known = information(linear(2), np.array([-50.0, 0.0]), residuals, design, 1.0)
    pushed = known.parameters[0]
    assert pushed.status == "at lower bound"
    assert pushed.lower == pytest.approx(-50.0)
    assert -50.0 < pushed.upper < -49.0


@given(st.floats(-40.0, 40.0), st.floats(1e-3, 1e3), st.sampled_from(["log", "linear"]))
def test_an_end_of_an_interval_that_is_but_the_box_s_is_called_open(
    at: float, deviation: float, scale: Literal["log", "linear"]
) -> None:
    low, high = -50.0, 50.0  # the box, in the optimiser's numbers
    value, lower, upper = (np.exp(x) if scale == "log" else x for x in (at, low, high))
    one = Parameter(name="p", value=value, lower=lower, upper=upper, scale=scale)
    design = np.full((100, 1), 0.1 / deviation)
    residuals = np.tile([1.0, -1.0], 50)
    (found,) = information([one], np.array([at]), residuals, design, 1.0).parameters
    reach = 1.984 * deviation  # 95 % of t with 100 degrees of freedom
    gaps = at - reach - low, high - at - reach
    assume(min(map(abs, gaps)) > 1e-2 * (high - low))  # nearer to a bound than that is at it
    expected = ("undetermined", "open below", "open above", "determined")
    assert found.status == expected[2 * (gaps[0] > 0) + (gaps[1] > 0)]
    assert (found.lower is None) == (found.upper is None) == (max(gaps) < 0)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_effective_number_of_autoregressive_residuals(correlation: float) -> None:
    rng = np.random.default_rng(4)
    n = 4000
    noise = rng.standard_normal(n)
    values = np.empty(n)
    values[0] = noise[0] / np.sqrt(1 - correlation**2)
    for i in range(1, n):
        values[i] = correlation * values[i - 1] + noise[i]
    found = diagnose(KEY, values, np.ones(n))
    expected = n * (1 - correlation) / (1 + correlation)
    assert found.effective == pytest.approx(expected, rel=0.25)
    assert found.autocorrelation == pytest.approx(correlation, abs=0.05)
    assert (found.runs_p < 1e-6) == (correlation > 0)


@given(st.floats(-3.0, 3.0), st.floats(0.8, 0.95), st.integers(0, 50))
def test_residuals_worth_few_points_never_look_independent(
    offset: float, correlation: float, seed: int
) -> None:
    """However many of them have one sign."""
    rng = np.random.default_rng(seed)
    values = np.empty(200)
    values[0] = rng.standard_normal() / np.sqrt(1 - correlation**2)
    for i in range(1, len(values)):
        values[i] = correlation * values[i - 1] + rng.standard_normal()
    values += offset * np.std(values)
    assert "autocorrelated" in diagnose(KEY, values, np.ones(len(values))).summary()


def test_a_short_large_excursion_is_no_independent_residual() -> None:
    values = np.random.default_rng(0).standard_normal(200)
    values[90:100] += 10.0
    found = diagnose(KEY, values, np.ones(200))
    assert found.runs_p > 0.01
    assert found.effective < 50
    assert found.autocorrelated


def test_independent_residuals_are_called_autocorrelated_as_rarely_as_the_levels_say() -> None:
    rng = np.random.default_rng(1)
    trials = 2000
    called = sum(
        diagnose(KEY, rng.standard_normal(100), np.ones(100)).autocorrelated for _ in range(trials)
    )
    level = 0.02  # two tests at 1 %
    assert called <= trials * level + STANDARD_ERRORS * np.sqrt(trials * level)


def test_residuals_of_one_sign_are_worth_one_point() -> None:
    found = diagnose(KEY, np.full(100, 0.1), np.ones(100))
    assert found.effective < 10
    assert found.runs_p < 1e-6
    assert found.bias == pytest.approx(0.1)


def slow_and_white(slow: float, length: float, white: float, points: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    decay = np.exp(-1 / length)
    u = np.empty(points)
    u[0] = rng.standard_normal()
    for i in range(1, points):
        u[i] = decay * u[i - 1] + np.sqrt(1 - decay**2) * rng.standard_normal()
    return np.sqrt(slow) * u + np.sqrt(white) * rng.standard_normal(points)


def test_the_process_of_residuals_is_found() -> None:
    curves = [slow_and_white(4.0, 15.0, 0.5, 1500, seed) for seed in range(4)]
    noise = residual_noise(curves)
    assert noise.slow == pytest.approx(4.0, rel=0.2)
    assert noise.length == pytest.approx(15.0, rel=0.25)
    assert noise.white == pytest.approx(0.5, rel=0.2)


def test_deviance_is_that_of_the_normal_distribution_with_its_covariance() -> None:
    curve = slow_and_white(1.0, 8.0, 0.3, 60, 0)
    noise = residual_noise([curve])
    covariance = noise.covariance(60)
    direct = np.linalg.slogdet(covariance)[1] + curve @ np.linalg.solve(covariance, curve)
    assert noise.deviance == pytest.approx(direct, rel=1e-4)


def test_chi2_of_autocorrelated_residuals_overstates_a_constant_as_theory_says() -> None:
    noise = residual_noise([slow_and_white(1.0, 10.0, 1e-3, 4000, 1)])
    constant = np.ones((500, 1))
    expected = noise.slow * (
        1 + 2 * np.sum(np.exp(-np.arange(1, 500) / noise.length) * (1 - np.arange(1, 500) / 500))
    )
    assert overstatement(noise, [constant]) == pytest.approx(expected + noise.white, rel=1e-6)


def test_small_linear_algebra_keeps_to_one_thread() -> None:
    from threadpoolctl import threadpool_info

    def blas_threads() -> list[int]:
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    with one_blas_thread():
        inside = blas_threads()
    assert inside == [1] * len(inside)
    assert len(inside) >= 1
    before = blas_threads()
    with one_blas_thread():
        pass
    assert blas_threads() == before
