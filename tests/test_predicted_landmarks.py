"""Landmarks of trajectories: located on the continuous solution."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import LOCATED

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.descent import descend
from coopetition.dynamics.events import first_crossing
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.readout import Readout, read
from coopetition.dynamics.trajectory_landmarks import landmarks_of


def test_crossings_are_roots_of_the_flip_accuracy() -> None:
    trajectory = integrate(get("coopetition"))
    readout = Readout(gain_icl=3.0, gain_ciwl=4.0)
    marks = landmarks_of(trajectory, readout)
    assert marks is not None

    def flip(states: np.ndarray) -> np.ndarray:
        outputs = trajectory.outputs_of(states)
        return read(("flip", "in_context_acc"), outputs, trajectory.strategies, readout).value

    emergence = first_crossing(trajectory, flip, 0.6, rising=True)
    assert marks.emergence is not None
    assert marks.emergence.value == pytest.approx(emergence, rel=LOCATED)
    crossover = first_crossing(trajectory, flip, 0.5, rising=False, after=marks.emergence.value)
    assert marks.crossover is not None
    assert marks.crossover.value == pytest.approx(crossover, rel=LOCATED)


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
