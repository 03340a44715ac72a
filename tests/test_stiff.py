"""Stiff systems, poles and step limits: another method, or an outcome that says what happened."""

import numpy as np
import pytest
from problems import (
    FUNCTIONS,
    POLE,
    ROBERTSON,
    ROBERTSON_AT_40,
    STIFF_LINEAR,
)

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.trajectory import Status
from coopetition.errors import IntegrationError

PAPER = get("coopetition")


@pytest.mark.parametrize("method", ["lsoda", "radau"])
def test_other_methods_give_the_same_trajectory(method):
    times = np.linspace(0, 2000.0, 21)
    run = integrate(PAPER, until=2000.0, times=times)
    other = integrate(PAPER, until=2000.0, times=times, method=method)
    assert other.method == method
    assert other.states == pytest.approx(run.states, abs=1e-5)


def test_stiffness_is_met_by_another_method_and_said():
    problem = STIFF_LINEAR
    run = integrate(problem.ode, start=problem.start, until=problem.until, max_steps=2000)
    assert run.method == "lsoda"
    assert run.status is Status.REACHED
    assert "dopri5 gave up" in run.notes[0]
    assert "lsoda was used" in run.summary()
    times = np.linspace(0.01, problem.until, 50)
    assert run(times) == pytest.approx(problem.exact(times), abs=1e-6)


@pytest.mark.parametrize("method", ["auto", "radau", "lsoda"])
def test_robertsons_chemistry_has_its_published_values(method):
    run = integrate(ROBERTSON, start=(1.0, 0.0, 0.0), until=40.0, method=method, max_steps=3000)
    assert run.status is Status.REACHED
    assert run.states[-1] == pytest.approx(ROBERTSON_AT_40, rel=1e-6)


@pytest.mark.parametrize("method", ["auto", "dopri5", "lsoda", "radau"])
def test_a_pole_is_a_stated_outcome(method):
    run = integrate(POLE, start=(1.0,), until=2.0, method=method, max_steps=5000)
    assert not run.status.ok
    assert run.reached == pytest.approx(1.0, abs=1e-3)
    assert np.all(np.isfinite(run.states))
    with pytest.raises(IntegrationError, match=r"ended at time 1.* of 2: .*(try|check)"):
        run.require()


def test_a_step_limit_is_a_stated_outcome_also_where_nothing_was_sampled():
    run = integrate(PAPER, until=16000.0, max_steps=20, method="dopri5")
    assert run.status is Status.TOO_MANY_STEPS
    assert run.steps == 20
    assert 0 < run.reached < 16000
    with pytest.raises(IntegrationError, match="raise max_steps"):
        run.require()
    sampled = integrate(PAPER, until=16000.0, times=[16000.0], max_steps=20, method="dopri5")
    assert sampled.reached == pytest.approx(run.reached)
    assert len(sampled.times) == 0
    assert "step limit" in sampled.summary()
    assert integrate(PAPER, times=[16000.0], max_steps=300).method == "lsoda"


def test_a_start_where_nothing_is_finite_ends_at_once():
    run = integrate(FUNCTIONS.ode, start=(0.0, -1.0, 1.0, 1.0, 1.0, 1.0), until=1.0)
    assert not run.status.ok
    assert run.reached == 0
    assert run(0.0) == pytest.approx(run.states[0])
