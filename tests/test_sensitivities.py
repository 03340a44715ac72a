"""Exact derivatives of flow and descent by starts and parameters."""

import numpy as np
import pytest
import sympy as sp
from problems import LOGISTIC
from scipy.integrate import odeint
from tolerances import (
    FINITE_DIFFERENCES,
    FLOAT64,
    OTHER_STEPS,
)

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.descent import descend, descend_sensitivities
from coopetition.dynamics.integration import integrate, integrate_sensitivities
from coopetition.dynamics.reduction import reduce
from coopetition.dynamics.starts import random_start
from coopetition.dynamics.trajectory import Status
from coopetition.seeds import stream

PAPER = get("coopetition")


# ---- sensitivities of flow and descent -------------------------------------------------------


def directions(model, seed=0, *, each=False):
    """A start and parameters with sensitivities: 8 random ones, or each state and parameter in
    turn.
    """
    ode = reduce(model)
    rng = stream(seed, "tangents")
    start = random_start(model, rng)
    p = np.array([{**ode.defaults, **start.parameters}[n] for n in ode.parameter_names])
    states, parameters = len(start.state), len(p)
    along = np.eye(states + parameters) if each else rng.normal(size=(states + parameters, 8))
    return {
        "start": start.state,
        "start_sensitivities": along[:states],
        "parameters": p,
        "parameter_sensitivities": along[states:],
    }


def by_differences(run, given, h=1e-5):
    """Central differences of ``run(start, parameters)`` along every direction."""
    columns = []
    for dy, dp in zip(
        given["start_sensitivities"].T, given["parameter_sensitivities"].T, strict=True
    ):
        ends = [
            run(given["start"] + sign * h * dy, given["parameters"] + sign * h * dp)
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]) / (2 * h))
    return np.stack(columns, axis=-1)


def interior(given):
    """The same off the parameters' bound 0, so that differences can be taken on both sides."""
    return {**given, "parameters": np.maximum(given["parameters"], 0.05)}


def assert_close(result, expected, relative):
    for k in range(expected.shape[-1]):
        scale = np.abs(expected[..., k]).max()
        assert np.abs(result[..., k] - expected[..., k]).max() <= relative * scale + FLOAT64


@pytest.mark.parametrize("name", CATALOGUE)
def test_sensitivities_of_descent_are_finite_differences(name):
    model = get(name)
    given, names = interior(directions(model)), reduce(model).parameter_names

    def run(start, parameters):
        return descend(
            model, start=start, parameters=dict(zip(names, parameters, strict=True)), until=300,
            every=100,
        ).states  # fmt: skip

    sensitivities = descend_sensitivities(model, steps=[0, 100, 200, 300], **given)
    assert sensitivities.status is Status.REACHED
    assert sensitivities.states == pytest.approx(
        run(given["start"], given["parameters"]), abs=1e-13
    )
    assert_close(sensitivities.sensitivities, by_differences(run, given), 20 * FINITE_DIFFERENCES)


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "flow") for name in CATALOGUE), ("coopetition", "modified")]
)
def test_sensitivities_of_flows_are_finite_differences(name, form):
    model = get(name)
    given, names = interior(directions(model)), reduce(model).parameter_names
    if form == "modified":
        names = (*names, "eta")
        given["parameters"] = np.append(given["parameters"], 1.0)
        given["parameter_sensitivities"] = np.vstack(
            [given["parameter_sensitivities"], np.full((1, 8), 0.3)]
        )
    times = np.array([0.0, 100.0, 300.0])
    tight = {"rtol": 1e-12, "atol": 1e-14}

    def run(start, parameters):
        return integrate(
            model, start=start, parameters=dict(zip(names, parameters, strict=True)), until=300.0,
            times=times, form=form, **tight,
        ).states  # fmt: skip

    sensitivities = integrate_sensitivities(model, times=times, form=form, **tight, **given)
    assert sensitivities.states == pytest.approx(
        run(given["start"], given["parameters"]), abs=1e-11
    )
    assert_close(sensitivities.sensitivities, by_differences(run, given), 20 * FINITE_DIFFERENCES)


@pytest.mark.parametrize("name", ["coopetition", "decay"])
def test_sensitivities_solve_the_sensitivity_equations(name):
    model = get(name)
    ode, given = reduce(model), directions(model, seed=4, each=name == "coopetition")
    symbols = (*ode.state, *ode.parameters)
    expressions = [list(ode.rhs), ode.jacobian, ode.parameter_derivatives]
    functions = sp.lambdify(symbols, expressions, "numpy", cse=True)
    states = len(ode.state)

    def slopes(z, _):
        y, s = z[:states], z[states:].reshape(states, -1)
        f, jacobian, by_parameter = functions(*y, *given["parameters"])
        s_dot = jacobian @ s + by_parameter @ given["parameter_sensitivities"]
        return np.concatenate([f, s_dot.ravel()])

    times = np.array([0.0, 500.0, 1000.0])
    start = np.concatenate([given["start"], given["start_sensitivities"].ravel()])
    exact = odeint(slopes, start, times, rtol=1e-11, atol=1e-12)
    sensitivities = integrate_sensitivities(model, times=times, rtol=1e-10, atol=1e-12, **given)
    expected = exact[:, states:].reshape(len(times), states, -1)
    assert_close(sensitivities.sensitivities, expected, 10 * FINITE_DIFFERENCES)


def test_sensitivities_of_the_logistic_equation_are_its_closed_form():
    times = np.linspace(0, 20.0, 5)
    run = integrate_sensitivities(
        LOGISTIC.ode, times=times, start=[0.1], start_sensitivities=[[1.0, 0.0, 0.0]],
        parameters=[0.5, 3.0], parameter_sensitivities=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    # y = k y0 e/(k + y0 (e − 1)), e = exp(r t)
    e, k, y0 = np.exp(0.5 * times), 3.0, 0.1
    below = k + y0 * (e - 1)
    by_start = k * e * (below - y0 * (e - 1)) / below**2
    by_rate = k * y0 * times * e * (below - y0 * e) / below**2
    by_capacity = y0 * e * (below - k) / below**2
    expected = np.stack([by_start, by_rate, by_capacity], axis=-1)
    assert run.sensitivities[:, 0, :] == pytest.approx(expected, abs=1e-7)


def test_directions_are_the_same_in_any_company():
    given = directions(PAPER, each=True)
    # but for the steps: a direction whose error is large shortens those of all
    whole = integrate_sensitivities(PAPER, times=[200.0], **given).sensitivities
    for k in (0, 1, 7, 9):
        part = integrate_sensitivities(
            PAPER,
            times=[200.0],
            **{**given, "start_sensitivities": given["start_sensitivities"][:, :k],
               "parameter_sensitivities": given["parameter_sensitivities"][:, :k]},
        ).sensitivities  # fmt: skip
        assert part.shape == (1, 8, k)
        assert part == pytest.approx(whole[..., :k], rel=OTHER_STEPS, abs=1e-2 * OTHER_STEPS)


@pytest.mark.parametrize("verb", [integrate_sensitivities, descend_sensitivities])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": np.zeros(7)}, r"start must have shape \(8,\)"),
        ({"start_sensitivities": np.zeros((8, 3))}, "with the same k"),
        ({"parameter_sensitivities": np.zeros(3)}, r"shapes \(state, k\)"),
        ({"parameters": np.full(11, np.nan)}, "parameters and its sensitivities must be finite"),
    ],
)
def test_shapes_of_sensitivities_that_do_not_fit_are_named(verb, change, message):
    when = {"times": [1.0]} if verb is integrate_sensitivities else {"steps": [1]}
    with pytest.raises(ValueError, match=message):
        verb(PAPER, **when, **{**directions(PAPER), **change})


def test_steps_of_sensitivities_must_increase():
    with pytest.raises(ValueError, match="steps must be increasing"):
        descend_sensitivities(PAPER, steps=[3, 2], **directions(PAPER))
    with pytest.raises(ValueError, match="step_size must be positive"):
        descend_sensitivities(PAPER, steps=[1], step_size=-1.0, **directions(PAPER))


STIFF = {"alpha": 2.3465, "mu1": 0.344, "mu2": 2.3226, "n_d": 0.1697}


@pytest.mark.parametrize("rtol", [1e-5, 1e-6, 1e-8])
def test_sensitivities_stay_bounded_where_stability_limits_the_steps(rtol):
    # n_d far below the others makes d fast: steps soon are as long as stability allows, and what
    # the values' error does not show grew to 1e12 in the sensitivities
    ode = reduce(PAPER)
    start = {"x_a": 0.2598, "x_b": 0.3255, "x_c": 0.3255, "x_d": 0.0344}
    fixed = {**ode.defaults, **{f"S_{v}": 1.0 for v in PAPER.vectors}, **STIFF}
    p = np.array([fixed[name] for name in ode.parameter_names])
    moved = [ode.parameter_names.index(name) for name in ("alpha", "mu1", "mu2")]
    given = {
        "start": np.array([start.get(name, 0.0) for name in ode.state_names]),
        "start_sensitivities": np.zeros((len(ode.state_names), 3)),
        "parameters": p,
        "parameter_sensitivities": np.eye(len(p))[:, moved],
    }
    times = np.linspace(0.0, 183.0, 40)
    stiff = integrate_sensitivities(ode, times=times, rtol=rtol, atol=1e-8, **given)

    def run(y0, q):
        values = dict(zip(ode.parameter_names, q, strict=True))
        return integrate(
            ode, start=y0, parameters=values, until=183.0, times=times, rtol=1e-11, atol=1e-13
        ).states

    expected = by_differences(run, given, h=1e-4)
    assert stiff.status.ok
    np.testing.assert_allclose(stiff.sensitivities, expected, atol=0.01 * np.abs(expected).max())


def test_times_that_give_no_horizon_are_named():
    given = directions(PAPER)
    for times, message in (([0.0], r"times = \[0.0\]: the last must lie above 0"), ([], "times")):
        with pytest.raises(ValueError, match=message):
            integrate_sensitivities(PAPER, times=times, **given)
    run = integrate_sensitivities("coopetition", times=[0.0], until=1.0, **given)
    np.testing.assert_array_equal(run.states[0], given["start"])
    np.testing.assert_array_equal(run.sensitivities[0], given["start_sensitivities"])
