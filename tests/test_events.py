import numpy as np
import pytest
from problems import LOGISTIC, OSCILLATOR
from tolerances import FLOAT64

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.events import first_crossing
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.trajectory import Status

PAPER = get("coopetition")


@pytest.fixture(scope="module")
def cosine():
    """States cos 2t and −sin 2t, up to t = 10."""
    return integrate(OSCILLATOR.ode, start=OSCILLATOR.start, until=10.0, rtol=1e-11, atol=1e-11)


def position(states):
    return states[:, 0]


@pytest.mark.parametrize(
    ("level", "rising", "after", "expected"),
    [
        (0.0, False, 0.0, np.pi / 4),
        (0.0, True, 0.5, 0.5),  # above already
        (0.0, True, 1.0, 3 * np.pi / 4),
        (0.5, False, 0.0, np.pi / 6),
        (-0.5, True, 2.0, 2 * np.pi / 3),
        (0.999, True, 5.0, 2 * np.pi - np.arccos(0.999) / 2),
        (0.0, False, 6.5, 2.25 * np.pi),
    ],
)
def test_first_crossings_of_a_cosine(cosine, level, rising, after, expected):
    found = first_crossing(cosine, position, level, rising=rising, after=after)
    assert found == pytest.approx(expected, abs=1e-7)


def test_a_level_never_passed_gives_none(cosine):
    assert first_crossing(cosine, position, 1.5, rising=True) is None
    assert first_crossing(cosine, position, -1.5, rising=False) is None
    assert first_crossing(cosine, position, 0.0, rising=True, after=10.5) is None


def test_the_event_of_a_logistic_growth_is_its_closed_form():
    run = integrate(LOGISTIC.ode, start=LOGISTIC.start, until=30.0, rtol=1e-10, atol=1e-12)
    # y = 3/(1 + 29 e^{−t/2}) passes 1.5 where 29 e^{−t/2} = 1
    found = first_crossing(run, position, 1.5, rising=True)
    assert found == pytest.approx(2 * np.log(29), rel=1e-8)
    # its 'total' is 3 − y
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
