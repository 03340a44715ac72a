"""Events on the continuous solution: the loss that stops a trajectory, and its landmarks."""

import numpy as np
import pytest
from problems import LOGISTIC, OSCILLATOR
from scipy.optimize import brentq
from tolerances import FLOAT64, LOCATED

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.descent import descend
from coopetition.dynamics.events import landmarks_of
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.readout import Readout, read
from coopetition.dynamics.trajectory import Status

PAPER = get("coopetition")


@pytest.mark.parametrize(
    ("level", "expected"), [(0.5, np.pi / 6), (0.999, np.arccos(0.999) / 2), (1.0, 0.0)]
)
def test_a_cosine_falls_below_where_it_is_known_to(level, expected):
    """The oscillator's total is cos 2t."""
    run = integrate(
        OSCILLATOR.ode, start=OSCILLATOR.start, until=10.0, rtol=1e-11, atol=1e-11, stop_below=level
    )
    assert run.stopped_at == pytest.approx(expected, abs=1e-7)


def test_the_event_of_a_logistic_growth_is_its_closed_form():
    # y = 3/(1 + 29 e^{−t/2}) passes 1.5 where 29 e^{−t/2} = 1; its total is 3 − y
    stopped = integrate(
        LOGISTIC.ode, start=LOGISTIC.start, until=30.0, rtol=1e-10, atol=1e-12, stop_below=1.5
    )
    assert stopped.stopped_at == pytest.approx(2 * np.log(29), rel=1e-8)


@pytest.mark.parametrize("method", ["auto", "dopri5", "lsoda", "radau"])
def test_stop_below_ends_the_trajectory_where_the_loss_passes(method):
    level = 1e-3
    run = integrate(PAPER, stop_below=level, method=method)
    assert run.status is Status.STOPPED
    assert run.status.ok
    assert run.stopped_at == run.times[-1] == run.reached
    assert run.output("total")[-1] == pytest.approx(level, rel=1e-6)
    assert np.all(run.output("total")[:-1] > level)
    assert np.all(np.diff(run.times) > 0)
    assert run(run.reached) == pytest.approx(run.states[-1], abs=FLOAT64)


@pytest.mark.parametrize("method", ["dopri5", "lsoda"])
def test_samples_end_where_the_loss_passes(method):
    whole = integrate(PAPER, stop_below=1e-3, method=method)
    times = np.linspace(0, 16000.0, 101)
    sampled = integrate(PAPER, stop_below=1e-3, times=times, method=method)
    assert sampled.stopped_at == pytest.approx(whole.stopped_at)
    assert np.array_equal(sampled.times, times[times <= whole.stopped_at])
    assert sampled.states == pytest.approx(whole(sampled.times), abs=FLOAT64)


def test_a_loss_never_reached_leaves_the_trajectory_whole():
    run = integrate(PAPER, until=100.0, stop_below=1e-6)
    plain = integrate(PAPER, until=100.0)
    assert run.status is Status.REACHED
    assert run.stopped_at is None
    assert run.reached == 100.0
    assert np.array_equal(run.times, plain.times)
    assert run.states == pytest.approx(plain.states, abs=FLOAT64)


def test_a_loss_below_from_the_start_stops_at_once():
    run = integrate(PAPER, stop_below=1e6)
    assert run.status is Status.STOPPED
    assert run.stopped_at == 0.0
    assert run.times.tolist() == [0.0]
    assert len(run.output("total")) == 1


def test_crossings_are_roots_of_the_flip_accuracy() -> None:
    trajectory = integrate(get("coopetition"))
    readout = Readout(gain_icl=3.0, gain_ciwl=4.0)
    marks = landmarks_of(trajectory, readout)
    assert marks is not None

    def flip(states: np.ndarray) -> np.ndarray:
        outputs = trajectory.outputs_of(states)
        return read(("flip", "in_context_acc"), outputs, trajectory.strategies, readout).value

    peak = marks.peak.value
    for mark, level, ends in (
        (marks.emergence, 0.6, (0.0, peak)),
        (marks.crossover, 0.5, (peak, trajectory.reached)),
    ):
        root = brentq(lambda t, level=level: flip(trajectory(t)) - level, *ends)
        assert mark.value == pytest.approx(root, rel=LOCATED)


def test_the_rate_turns_time_into_sequences() -> None:
    trajectory = integrate(get("coopetition"))
    plain, scaled = (
        landmarks_of(trajectory, Readout(sequences_per_time=rate)) for rate in (1.0, 500.0)
    )
    assert plain is not None
    assert scaled is not None
    assert plain.crossover is not None
    assert scaled.crossover is not None
    assert scaled.crossover.value == pytest.approx(500.0 * plain.crossover.value, rel=LOCATED)


def test_descent_is_located_to_a_step() -> None:
    flow, steps = (
        landmarks_of(integrate(get("coopetition"))),
        landmarks_of(descend(get("coopetition"), step_size=0.1, until=8000.0)),
    )
    assert flow is not None
    assert steps is not None
    assert flow.emergence is not None
    assert steps.emergence is not None
    # the flow runs ahead of descent by a share of the step: 7 to 10 steps at step 1
    assert abs(flow.emergence.value - steps.emergence.value) < 10


def test_a_model_without_both_strategies_has_no_flip_landmarks() -> None:
    assert landmarks_of(integrate(get("induction"), until=100.0)) is None
