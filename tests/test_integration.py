"""Trajectories of the catalogue's models against independent integrators and published facts."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tolerances import CONSERVED, FLOAT64, LIFETIME, TOLERANCE_UNITS

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.descent import descend
from coopetition.dynamics.integration import integrate, integrate_many
from coopetition.dynamics.reduction import reduce
from coopetition.dynamics.starts import random_start
from coopetition.seeds import stream

PAPER = get("coopetition")


def start_of(model, seed=0):
    return random_start(model, stream(seed, "tests"))


def oracle(ode, p, y0, times, rtol=1e-12):
    """The trajectory by scipy's DOP853 on the symbolic right-hand side, stepped to each time."""
    import sympy as sp

    rhs = sp.lambdify((*ode.state, *ode.parameters), list(ode.rhs), "math", cse=True)
    solution = solve_ivp(
        lambda t, y: rhs(*y, *p), (0.0, times[-1]), y0, "DOP853", rtol=rtol, atol=1e-14,
        dense_output=True,
    )  # fmt: skip
    return solution.sol(times).T


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_model_agrees_with_an_independent_integrator(name):
    model = get(name)
    ode, start = reduce(model), start_of(model)
    times = np.linspace(0, 3000.0, 61)
    run = integrate(model, start=start, until=3000.0)
    p = [run.parameters[n] for n in ode.parameter_names]
    expected = oracle(ode, p, start.state, times)
    error = np.abs(run(times) - expected) / (1e-10 + 1e-8 * np.abs(expected).max(axis=0))
    assert error.max() < TOLERANCE_UNITS


@pytest.mark.parametrize("name", CATALOGUE)
def test_conserved_quantities_hold_and_the_loss_never_rises(name):
    import sympy as sp

    model = get(name)
    ode = reduce(model)
    for seed in (1, 2):
        run = integrate(model, start=start_of(model, seed), until=16000.0, rtol=1e-10, atol=1e-12)
        at = {s: run.parameters[s.name] for s in ode.parameters}
        for quantity in ode.conserved:
            values = sp.lambdify(ode.state, quantity.subs(at), "numpy")(*run.states.T)
            size = sum(
                abs(t) for t in [values[0], *map(float, sp.Poly(quantity.subs(at)).coeffs())]
            )
            assert np.abs(values - values[0]).max() <= CONSERVED * size
        total = run.output("total")
        assert np.all(np.diff(total) <= FLOAT64 + 1e-8 * total[:-1])


def test_exchanging_the_strategies_exchanges_the_curves():
    exchange = {"a": "d", "d": "a"}
    swapped = dataclasses.replace(
        PAPER,
        name="swapped",
        strategies=tuple(
            dataclasses.replace(s, factors=tuple(exchange.get(f, f) for f in s.factors))
            for s in PAPER.strategies
        ),
    )
    start = start_of(PAPER)
    swap = [6, 7, 2, 3, 4, 5, 0, 1]
    times = np.linspace(0, 8000.0, 81)
    ways = {"n_a": 160.0, "n_d": 20.0}
    own = {n: v for n, v in start.parameters.items() if n.startswith("S_")}
    one = integrate(PAPER, start=start, times=times, until=8000.0)
    other = integrate(
        swapped,
        start=start.state[swap],
        parameters={**own, "S_a": own["S_d"], "S_d": own["S_a"], **ways},
        times=times,
        until=8000.0,
    )
    for name in ("icl", "ciwl", "icl_strength", "ciwl_strength", "total", "cost"):
        assert other.output(name) == pytest.approx(one.output(name), abs=1e-7)


def test_a_trajectory_is_not_to_be_asked_beyond_what_it_holds():
    run = integrate(PAPER, until=100.0)
    with pytest.raises(ValueError, match=r"within \[0, 100\]"):
        run(101.0)
    with pytest.raises(ValueError, match="did you mean 'total'"):
        run.output("totl")
    with pytest.raises(ValueError, match="samples only"):
        integrate(PAPER, until=100.0, times=[50.0])(50.0)
    with pytest.raises(ValueError, match="read-only"):
        run.states[0, 0] = 1.0


def test_lifetimes_of_icl_are_the_published_ones(reference_starts):
    # mu1 against the time for which ICL lives; strength above 0.15 tells it from chance
    lifetimes = {0.1: 2.8e3, 0.03: 5.8e3, 0.01: 11.5e3, 0.003: 29e3, 0.001: 90e3}
    times = np.concatenate([[0.0], np.geomspace(10.0, 2e5, 800)])
    for mu1, published in lifetimes.items():
        batch = integrate_many(
            PAPER, parameters={"mu1": mu1}, starts=reference_starts, until=2e5, times=times
        )
        assert batch.ok.all()
        alive = batch.outputs["icl_strength"] > 0.15
        first, last = alive.argmax(axis=1), len(times) - 1 - alive[:, ::-1].argmax(axis=1)
        assert np.median(times[last] - times[first]) == pytest.approx(published, rel=LIFETIME)


def test_icl_is_transient_for_any_floor_and_persistent_without(reference_starts):
    horizon = {"until": 64000.0, "starts": reference_starts, "max_steps": 300_000}
    times = np.linspace(0, 64000.0, 200)
    for mu1 in (0.003, 0.1, 0.3):
        batch = integrate_many(PAPER, parameters={"mu1": mu1}, times=times, **horizon)
        strength = batch.outputs["icl_strength"]
        assert np.all(strength.max(axis=1) > 0.5)
        transient = strength[:, -1] < 0.05
        # at 0.003 one start of the twelve is still on its way down
        assert transient.sum() >= (11 if mu1 == 0.003 else 12)
        assert np.all(strength[:, -1] < 0.7)
    batch = integrate_many(PAPER, parameters={"mu1": 0.0}, **horizon)
    assert batch.ok.all()
    assert np.all(batch.outputs["icl_strength"][:, -1] > 0.99)


def test_the_modified_flow_takes_its_step_size_as_a_parameter():
    run = integrate(PAPER, form="modified", parameters={"eta": 0.0}, until=1000.0)
    flow = integrate(PAPER, until=1000.0)
    assert run.states[-1] == pytest.approx(flow.states[-1], abs=1e-9)
    assert run.parameters["eta"] == 0.0
    with pytest.raises(ValueError, match="eta must be at least 0"):
        integrate(PAPER, form="modified", parameters={"eta": -1.0})


def test_a_model_of_the_catalogue_is_known_by_its_name():
    by_name, given = (integrate(model, until=50.0) for model in ("coopetition", PAPER))
    np.testing.assert_array_equal(by_name.states, given.states)
    by_name, given = (integrate_many(model, until=50.0) for model in ("coopetition", PAPER))
    np.testing.assert_array_equal(by_name.states, given.states)
    by_name, given = (descend(model, until=50.0) for model in ("coopetition", PAPER))
    np.testing.assert_array_equal(by_name.states, given.states)
    for verb in (integrate, integrate_many, descend):
        with pytest.raises(ValueError, match="did you mean 'coopetition'"):
            verb("copetition")
