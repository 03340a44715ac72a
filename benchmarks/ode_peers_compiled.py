"""Peers that run as machine code: numbalsoda (LSODA and DOP853 in Fortran and C++), JiTCODE (C)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from ode_problem import (
    ATOL,
    RTOL,
    UNTIL,
    extended,
    ode,
    problem,
    states_and_sensitivities,
    straight_line,
)

Call = Callable[[], np.ndarray]
SOME = 200  # members of JiTCODE's batch; the rate is per member


def _address(expressions: Sequence[sp.Expr], state: Sequence[sp.Symbol]) -> int:
    import numba
    from numbalsoda import lsoda_sig

    rhs = straight_line(
        expressions, state, head="(t, y, out, p)", into="out", namespace={"sqrt": math.sqrt}
    )
    callback = numba.cfunc(lsoda_sig)(rhs)
    _ALIVE.append(callback)
    return callback.address


_ALIVE: list[Any] = []  # compiled callbacks must outlive their addresses


def _numbalsoda(solver: str, tighter: float = 1.0) -> Call:
    import numbalsoda

    given, address = problem(), _address(ode().rhs, ode().state)
    solve = getattr(numbalsoda, solver)
    grid = np.concatenate([[0.0], given.times])
    y0 = given.start.state.copy()
    return lambda: solve(
        address, y0, grid, given.parameters, rtol=RTOL / tighter, atol=ATOL / tighter
    )[0][1:]


def single_lsoda() -> Call:
    return _numbalsoda("lsoda")


def single_dop853() -> Call:
    return _numbalsoda("dop853")


def single_dop853_tighter() -> Call:
    """With the tolerance at which its interpolated save points are as good as the others'."""
    return _numbalsoda("dop853", tighter=300.0)


def batch_lsoda() -> Call:
    import numba
    from numbalsoda import lsoda

    given, address = problem(), _address(ode().rhs, ode().state)
    grid, y0 = np.array([0.0, UNTIL]), given.start.state.copy()

    @numba.njit
    def run(members):
        ends = np.empty((len(members), len(y0)))
        for k in range(len(members)):
            ends[k] = lsoda(address, y0, grid, members[k], RTOL, ATOL)[0][1]
        return ends

    return lambda: run(given.members)


def sensitivities_lsoda() -> Call:
    from numbalsoda import lsoda

    given, address = problem(), _address(*extended())
    grid = np.concatenate([[0.0], given.times])
    y0 = np.zeros(len(extended()[1]))
    y0[: len(ode().state)] = given.start.state
    return lambda: states_and_sensitivities(
        lsoda(address, y0, grid, given.parameters, rtol=RTOL, atol=ATOL)[0][1:]
    )


def _jitcode() -> Any:
    import symengine
    from jitcode import jitcode, y

    state = {symengine.Symbol(s.name): y(i) for i, s in enumerate(ode().state)}
    parameters = [symengine.Symbol(s.name) for s in ode().parameters]
    rhs = [symengine.sympify(f).subs(state) for f in ode().rhs]
    system = jitcode(rhs, n=len(rhs), control_pars=parameters, verbose=False)
    system.compile_C()
    system.set_parameters(*problem().parameters)
    system.set_integrator("dopri5", rtol=RTOL, atol=ATOL, nsteps=100_000)
    return system


def single_jitcode() -> Call:
    given, system = problem(), _jitcode()

    def call() -> np.ndarray:
        system.set_initial_value(given.start.state, 0.0)
        return np.array([system.integrate(time) for time in given.times])

    return call


def batch_jitcode() -> Call:
    given, system = problem(), _jitcode()

    def end(parameters: np.ndarray) -> np.ndarray:
        system.set_parameters(*parameters)
        system.set_initial_value(given.start.state, 0.0)
        return system.integrate(UNTIL)

    return lambda: np.array([end(p) for p in given.members[:SOME]])


METHODS = {
    "single": {
        "numbalsoda LSODA": single_lsoda,
        "numbalsoda DOP853": single_dop853,
        "numbalsoda DOP853, tolerances / 300": single_dop853_tighter,
        "JiTCODE dopri5": single_jitcode,
    },
    "batch": {"numbalsoda LSODA, loop in numba": batch_lsoda, "JiTCODE dopri5": batch_jitcode},
    "sensitivities": {"numbalsoda LSODA, extended system": sensitivities_lsoda},
}
