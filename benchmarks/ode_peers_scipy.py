"""scipy's solvers: LSODA with a lambdified right-hand side, odeint with one compiled by numba."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
SOME = 100  # members of the batch; the rate is per member


def _lambdified(expressions: Sequence[sp.Expr], state: Sequence[sp.Symbol]) -> Callable:
    function = sp.lambdify([state, ode().parameters], list(expressions), "math", cse=True)
    return lambda t, y, p: function(y, p)


def numba_rhs(expressions: Sequence[sp.Expr], state: Sequence[sp.Symbol]) -> Callable:
    """``f(y, t, p)`` by numba."""
    import numba

    loop = straight_line(
        expressions, state, head="(y, t, p, out)", into="out", namespace={"sqrt": math.sqrt}
    )
    inner = numba.njit(loop)
    size = len(state)

    @numba.njit
    def rhs(y, t, p):
        out = np.empty(size)
        inner(y, t, p, out)
        return out

    return rhs


def _lsoda(rhs: Callable, y0: np.ndarray) -> np.ndarray:
    from scipy.integrate import solve_ivp

    given = problem()
    solution = solve_ivp(
        rhs, (0.0, UNTIL), y0, method="LSODA", t_eval=given.times, rtol=RTOL, atol=ATOL,
        args=(given.parameters,),
    )  # fmt: skip
    return solution.y.T


def _odeint(rhs: Callable, y0: np.ndarray, p: np.ndarray, times: np.ndarray) -> np.ndarray:
    from scipy.integrate import odeint

    grid = np.concatenate([[0.0], times])
    return odeint(rhs, y0, grid, args=(p,), rtol=RTOL, atol=ATOL, mxstep=100_000)[1:]


def single_lsoda() -> Call:
    rhs, y0 = _lambdified(ode().rhs, ode().state), problem().start.state
    return lambda: _lsoda(rhs, y0)


def single_odeint() -> Call:
    given, rhs = problem(), numba_rhs(ode().rhs, ode().state)
    return lambda: _odeint(rhs, given.start.state, given.parameters, given.times)


def batch_odeint() -> Call:
    given, rhs = problem(), numba_rhs(ode().rhs, ode().state)
    end = np.array([UNTIL])
    return lambda: np.concatenate(
        [_odeint(rhs, given.start.state, p, end) for p in given.members[:SOME]]
    )


def _extended_start() -> np.ndarray:
    y0 = np.zeros(len(extended()[1]))
    y0[: len(ode().state)] = problem().start.state
    return y0


def sensitivities_lsoda() -> Call:
    rhs, y0 = _lambdified(*extended()), _extended_start()
    return lambda: states_and_sensitivities(_lsoda(rhs, y0))


def sensitivities_odeint() -> Call:
    given, rhs, y0 = problem(), numba_rhs(*extended()), _extended_start()
    return lambda: states_and_sensitivities(_odeint(rhs, y0, given.parameters, given.times))


METHODS = {
    "single": {
        "scipy solve_ivp LSODA, lambdified": single_lsoda,
        "scipy odeint, numba": single_odeint,
    },
    "batch": {"scipy odeint, numba": batch_odeint},
    "sensitivities": {
        "scipy solve_ivp LSODA, lambdified, extended system": sensitivities_lsoda,
        "scipy odeint, numba, extended system": sensitivities_odeint,
    },
}
