"""The package's own entries in the comparison of ODE solvers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ode_problem import ATOL, MODEL, RTOL, STOP_BELOW, UNTIL, VARIED, ode, problem

Call = Callable[[], np.ndarray]


def sampled() -> Call:
    from coopetition.dynamics.integration import integrate

    given = problem()
    return lambda: (
        integrate(
            MODEL, start=given.start, until=UNTIL, times=given.times, rtol=RTOL, atol=ATOL
        ).states
    )


def dense() -> Call:
    """Every step kept, then evaluated at the save points."""
    from coopetition.dynamics.integration import integrate

    given = problem()
    return lambda: integrate(MODEL, start=given.start, until=UNTIL, rtol=RTOL, atol=ATOL)(
        given.times
    )


def interpreted() -> Call:
    """The step is machine code, the loop around it plain Python: nothing for numba to compile."""
    from coopetition.dynamics.integration import integrate

    given = problem()
    return lambda: integrate(
        MODEL, start=given.start, until=UNTIL, times=given.times, rtol=RTOL, atol=ATOL,
        compiled=False,
    ).states  # fmt: skip


def batch() -> Call:
    from coopetition.dynamics.integration import integrate_many

    given = problem()
    names = ode().parameter_names
    varied = {name: given.members[:, names.index(name)] for name in ("alpha", "mu1")}
    return lambda: integrate_many(
        MODEL, parameters=varied, starts=given.start, until=UNTIL, rtol=RTOL, atol=ATOL, workers=1
    ).states[:, -1]


def _sensitivities(tighter: float) -> Call:
    from coopetition.dynamics.integration import integrate_sensitivities

    given = problem()
    directions = np.eye(len(given.parameters))[:, [ode().parameter_names.index(n) for n in VARIED]]
    still = np.zeros((len(given.start.state), len(VARIED)))

    def call() -> np.ndarray:
        run = integrate_sensitivities(
            MODEL, times=given.times, start=given.start.state, start_sensitivities=still,
            parameters=given.parameters, parameter_sensitivities=directions, rtol=RTOL / tighter,
            atol=ATOL / tighter,
        )  # fmt: skip
        return np.concatenate([run.states[..., None], run.sensitivities], axis=-1)

    return call


def sensitivities() -> Call:
    return _sensitivities(1.0)


def sensitivities_tighter() -> Call:
    """The step follows the state's error alone: how much better do its derivatives get?"""
    return _sensitivities(10.0)


def _descent(every: int) -> Call:
    from coopetition.dynamics.descent import descend

    given = problem()

    def call() -> np.ndarray:
        run = descend(MODEL, start=given.start, until=UNTIL, stop_below=STOP_BELOW, every=every)
        return np.array([run.steps, *run.states[-1]])

    return call


def descent_end() -> Call:
    return _descent(10**9)


def descent_every_step() -> Call:
    return _descent(1)


METHODS = {
    "single": {
        "coopetition, sampled": sampled,
        "coopetition, dense": dense,
        "coopetition, interpreted loop": interpreted,
    },
    "batch": {"coopetition integrate_many": batch},
    "sensitivities": {
        "coopetition integrate_sensitivities": sensitivities,
        "coopetition integrate_sensitivities, tolerances / 10": sensitivities_tighter,
    },
    "descent": {
        "coopetition descend, end only": descent_end,
        "coopetition descend, every step": descent_every_step,
    },
}
