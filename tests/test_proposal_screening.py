"""Many settings looked at together: the same numbers as each alone, failures told, one thread."""

import dataclasses

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from coopetition.errors import CoopetitionError
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.settings_map import calibrate, default_map
from coopetition.logs import read_curves
from coopetition.proposal import boundary, default_moves, propose
from coopetition.proposal.design import gains
from coopetition.proposal.screening import verdict_chances

HORIZON = 2e7


@pytest.fixture(scope="module")
def base():
    (main,) = read_curves("published:main")
    return dict(main.settings)


def test_many_settings_at_once_are_predicted_as_each_alone(base):
    # of three paces and two origins, so that they fall into several batches
    every = [
        {**base, **change}
        for change in (
            {},
            {"match_probability": 0.4},
            {"lr": 3e-5},
            {"start": "ciwl_only at 4e6"},
            {"n_classes": 3200},
            {"match_probability": 1.0, "lr": 3e-5},
        )
    ]
    together = verdict_chances(every, default_map(), budget=HORIZON, draws=150, seed=3)
    alone = [
        forecast_settings(one, default_map(), horizon=HORIZON, draws=150, seed=3) for one in every
    ]
    assert together == [forecast.verdict_probability for forecast in alone]


class Failing:
    """A theory whose simulations fail."""

    def __init__(self, theory):
        self.name, self.parameters = theory.name, theory.parameters

    def curves(self, thetas, times):
        return {name: np.full((len(thetas), len(times)), np.nan) for name in ("icl", "flip")}


def test_settings_that_cannot_be_simulated_are_told_and_not_counted(base):
    failing = dataclasses.replace(default_map(), declared=Failing(default_map().the_theory()))
    (seen,) = verdict_chances([base], failing, budget=HORIZON, draws=150)
    assert isinstance(seen, CoopetitionError)
    assert "100 %" in str(seen)
    match, classes = default_moves(base, ["match_probability", "n_classes"])
    with pytest.raises(CoopetitionError, match="no candidate could be simulated"):
        propose(base, failing, budget=HORIZON, moves=[match], looked_at=8)
    with pytest.raises(CoopetitionError, match="failed before"):
        boundary(base, failing, match, classes, budget=HORIZON, points=2)


def test_a_head_start_beyond_the_budget_is_refused(base):
    late = {**base, "start": "ciwl_only at 4e6"}
    with pytest.raises(ValueError, match="head start of 4,000,000"):
        verdict_chances([late], default_map(), budget=3e6, draws=150)


class Watching:
    """A theory that notes how many threads BLAS may use while it is asked."""

    def __init__(self, theory):
        self.theory, self.name, self.parameters = theory, theory.name, theory.parameters
        self.seen = set()

    def note(self):
        info = threadpool_info()
        self.seen |= {one["num_threads"] for one in info if one["user_api"] == "blas"}

    def curves(self, thetas, times):
        self.note()
        return self.theory.curves(thetas, times)

    def slopes(self, theta, times):
        self.note()
        return self.theory.slopes(theta, times)


def test_small_matrices_are_left_to_one_thread(base):
    watching = Watching(default_map().the_theory())
    settings_map = dataclasses.replace(default_map(), declared=watching)
    (match,) = default_moves(base, ["match_probability"])
    with threadpool_limits(limits=2, user_api="blas"):
        propose(base, settings_map, budget=HORIZON, moves=[match], looked_at=4, count=1)
        gains(settings_map, [base], budget=HORIZON)
        calibrate(read_curves("published:mq"), theory=watching, points=12)
    assert watching.seen == {1}
