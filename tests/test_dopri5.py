"""The generated Dormand–Prince step and the loops around it, for one trajectory and for many."""

import numpy as np
import pytest
from problems import (
    FUNCTIONS,
    LOGISTIC,
    OSCILLATOR,
    POLE,
)
from tolerances import FLOAT64, TOLERANCE_UNITS

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate, integrate_many
from coopetition.dynamics.solver import loop
from coopetition.dynamics.starts import random_start
from coopetition.dynamics.trajectory import Status
from coopetition.seeds import stream

EXACT = {"oscillator": OSCILLATOR, "logistic": LOGISTIC, "functions": FUNCTIONS}
PAPER = get("coopetition")
SUBNORMAL = np.array([5e-324])


def start_of(model, seed=0):
    return random_start(model, stream(seed, "tests"))


@pytest.mark.parametrize("name", EXACT)
def test_exact_solutions_are_met_within_the_tolerance(name):
    problem, rtol = EXACT[name], 1e-8
    run = integrate(problem.ode, start=problem.start, until=problem.until, rtol=rtol, atol=rtol)
    assert run.status is Status.REACHED
    assert run.times[-1] == problem.until
    # between steps the interpolant is of one order less
    for times, units in ((run.times, 1), (np.linspace(0, problem.until, 301), 5)):
        exact = problem.exact(times)
        error = np.abs(run(times) - exact) / (rtol * (1 + np.abs(exact)))
        assert error.max() < units * TOLERANCE_UNITS


def test_the_error_falls_with_the_fifth_power_of_the_step():
    # one order of tolerance is 10^(1/5) in step size; the error of a step is of order 6
    rtols = np.array([1e-6, 1e-7, 1e-8, 1e-9, 1e-10])
    errors, steps = [], []
    for rtol in rtols:
        run = integrate(OSCILLATOR.ode, start=OSCILLATOR.start, until=40.0, rtol=rtol, atol=rtol)
        exact = OSCILLATOR.exact(np.array([40.0]))[0]
        errors.append(np.abs(run.states[-1] - exact).max())
        steps.append(run.steps)
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 4.5 < order < 6.0


def test_the_interpolant_is_of_fourth_order_and_passes_through_every_step():
    run = integrate(OSCILLATOR.ode, start=OSCILLATOR.start, until=10.0, rtol=1e-6, atol=1e-6)
    assert run(run.times) == pytest.approx(run.states, abs=FLOAT64)
    assert run(run.times[3]).shape == (2,)
    assert run(np.zeros((2, 3))).shape == (2, 3, 2)


def test_interpreted_loops_give_what_compiled_ones_give():
    for options in ({}, {"times": np.linspace(0, 500.0, 11)}, {"stop_below": 0.3}):
        plain = integrate(PAPER, until=500.0, compiled=False, **options)
        compiled = integrate(PAPER, until=500.0, **options)
        assert np.array_equal(plain.times, compiled.times)
        assert np.array_equal(plain.states, compiled.states)
    # the plain ones are plain: no compiled function hides in them
    loop.compiled_loops()
    assert not hasattr(loop._sample, "py_func")


def test_positions_in_the_loop_are_those_in_the_generated_step():
    names = {
        "time": loop.TIME, "step": loop.STEP, "end": loop.END, "stop": loop.STOP,
        "smallest_step": loop.SMALLEST, "rtol": loop.RTOL, "atol": loop.ATOL,
        "steps": loop.STEPS, "steps_limit": loop.STEPS_LIMIT,
        "time_old": loop.TIME_OLD, "step_old": loop.STEP_OLD, "fresh": loop.FRESH,
    }  # fmt: skip
    assert {n: loop.CONTROLS.index(n) for n in names} == names
    assert set(loop.CONTROLS) - set(names) == {"error_old"}
    assert len(loop.CONTROLS) == loop.CONTROL_COUNT


def many_members(count, seed=0):
    rng = stream(seed, "members")
    starts = [random_start(PAPER, rng) for _ in range(count)]
    return starts, {"mu1": rng.uniform(0.01, 0.3, count), "alpha": rng.uniform(0.0, 0.3, count)}


def test_each_member_of_a_batch_is_its_own_single_integration():
    starts, parameters = many_members(19)
    times = np.linspace(0, 4000.0, 9)
    batch = integrate_many(PAPER, starts=starts, parameters=parameters, until=4000.0, times=times)
    assert batch.ok.all()
    for k, start in enumerate(starts):
        own = {name: float(values[k]) for name, values in parameters.items()}
        single = integrate(PAPER, start=start, parameters=own, until=4000.0, times=times)
        assert np.abs(batch.states[k] - single.states).max() <= FLOAT64
        assert batch.steps[k] == single.steps
        assert batch.outputs["total"][k] == pytest.approx(single.output("total"), rel=1e-9)


def test_a_member_knows_nothing_of_neighbours_order_or_workers():
    starts, parameters = many_members(41)
    options = {"until": 3000.0, "times": [100.0, 1000.0, 3000.0]}
    base = integrate_many(PAPER, starts=starts, parameters=parameters, workers=1, **options)
    order = np.random.default_rng(0).permutation(41)
    shuffled = integrate_many(
        PAPER,
        starts=[starts[k] for k in order],
        parameters={n: v[order] for n, v in parameters.items()},
        workers=3,
        **options,
    )
    assert np.array_equal(shuffled.states, base.states[order])
    assert np.array_equal(shuffled.steps, base.steps[order])
    alone = integrate_many(
        PAPER, starts=starts[7], parameters={n: v[7] for n, v in parameters.items()}, **options
    )
    assert np.array_equal(alone.states[0], base.states[7])


def test_a_failing_member_is_marked_and_leaves_the_others_alone():
    gains = np.array([0.1, 0.2, 1.0, 0.3, 0.05, -1.0, 5.0, 0.01, 0.15, 0.25, 0.35])
    times = np.linspace(0, 2.0, 22)
    batch = integrate_many(POLE, parameters={"g": gains}, starts=[[1.0]], until=2.0, times=times)
    fails = gains > 0.5
    assert np.array_equal(~batch.ok, fails)
    assert np.all(np.isin(batch.statuses[fails], [Status.STEP_UNDERFLOW, Status.NOT_FINITE]))
    for g, states, reached in zip(gains, batch.states, batch.reached, strict=True):
        # y = 1/(1/y0 − g t)
        before = times < min(1 / g if g > 0 else np.inf, 2.1)
        assert states[before, 0] == pytest.approx(1 / (1 - g * times[before]), rel=1e-6)
        assert np.all(np.isnan(states[~before]))
        assert reached == pytest.approx(min(2.0, 1 / g if g > 0 else 2.0), rel=1e-6)
    assert "2 the step size shrank" in batch.summary() or "2 the state left" in batch.summary()


def test_a_member_at_extreme_parameters_leaves_the_others_alone():
    alpha = np.array([0.1, 1e300, 0.1, 0.1])
    start = start_of(PAPER)
    batch = integrate_many(PAPER, parameters={"alpha": alpha}, starts=start, until=500.0)
    assert batch.ok.tolist() == [True, False, True, True]
    assert np.isnan(batch.states[1]).all()
    assert np.array_equal(batch.states[0], batch.states[3])
    assert batch.states[0, 0] == pytest.approx(
        integrate(PAPER, start=start, until=500.0).states[-1]
    )


def test_one_signature_of_the_loops_serves_every_call():
    before = len(loop.compiled_loops().advance.signatures)
    integrate_many(PAPER, until=10)
    integrate_many(PAPER, parameters={"mu1": [0.1, 0.2]}, until=10, times=[1, 2])
    integrate_many(PAPER, starts=np.tile(start_of(PAPER).state, (2, 1)), until=10)
    integrate(PAPER, until=10, times=[5])
    # a second would be compiled for seconds at the user's first call
    assert len(loop.compiled_loops().advance.signatures) == max(before, 1)


def test_nothing_is_compiled_while_subnormals_are_flushed(monkeypatch):
    made = loop.compiled_loops.__wrapped__()
    flushed = []

    class Watched:
        def __init__(self, loop):
            self.loop = loop
            self.signatures = loop.signatures

        def compile(self, signature):
            flushed.append((SUBNORMAL * 1.0).item() == 0)
            self.loop.compile(signature)

        def __call__(self, *arguments):
            ready = list(self.loop.signatures)
            returned = self.loop(*arguments)
            assert self.loop.signatures == ready
            return returned

    watched = loop.Loops(Watched(made.advance), Watched(made.record))
    monkeypatch.setattr(loop, "compiled_loops", lambda: watched)
    integrate_many(PAPER, until=10)
    integrate(PAPER, until=10)
    assert flushed == [False, False]
