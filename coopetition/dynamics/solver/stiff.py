"""Stiff systems by scipy's LSODA and Radau, with the derived Jacobian in generated code."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import Array, ReadOnlyArrays
from ..trajectory import Status, Trajectory
from .compilation import CompiledODE


@dataclasses.dataclass(frozen=True, eq=False)
class DenseOutput(ReadOnlyArrays):
    """The interpolant of a stiff trajectory: scipy's own, or the start if no step was taken."""

    start: Array  # (state,)
    solution: Any

    def __call__(self, times: Array) -> Array:
        """States ``(…, state)`` at times ``(…,)``."""
        flat = np.atleast_1d(times).ravel()
        if self.solution is None or len(flat) == 0:
            states = np.tile(self.start, (len(flat), 1))
        else:
            states = self.solution(flat).T
        return states.reshape(*np.shape(times), len(self.start))


def integrate_stiff(
    ode: CompiledODE, method: str, y0: Array, p: Array, span: Array, samples: Array | None,
    tolerances: Array, *, notes: tuple[str, ...] = (),
) -> Trajectory:  # fmt: skip
    """Integrate by ``lsoda`` or ``radau``, stepwise, so that the step limit holds."""
    from scipy.integrate import LSODA, OdeSolution, Radau

    states = len(ode.state_names)
    address = p.ctypes.data

    def generated(name: str, *shape: int) -> Callable[[float, Array], Array]:
        def evaluate(_: float, y: Array) -> Array:
            y, out = np.ascontiguousarray(y), np.empty(shape)
            ode.functions[name](1, y.ctypes.data, address, 0, out.ctypes.data)
            return out

        return evaluate

    solver = {"lsoda": LSODA, "radau": Radau}[method](
        generated("rhs", states), span[0], y0, span[1], rtol=max(tolerances[0], 1e-13),
        atol=tolerances[1], jac=generated("jacobian", states, states),
    )  # fmt: skip
    times, points, pieces = [span[0]], [y0], []
    status = Status.REACHED
    while solver.status == "running":
        if len(times) > tolerances[3]:
            status = Status.TOO_MANY_STEPS
            break
        with warnings.catch_warnings():
            # the status below replaces the method's warnings
            warnings.simplefilter("ignore")
            solver.step()
        diverged = not np.all(np.isfinite(solver.y))
        # before a pole lsoda may succeed with a step that does not move
        if solver.status == "failed" or diverged or solver.t <= times[-1]:
            status = Status.NOT_FINITE if diverged else Status.STEP_UNDERFLOW
            break
        pieces.append(solver.dense_output())
        times.append(solver.t)
        points.append(solver.y.copy())
    interpolant = DenseOutput(y0, OdeSolution(times, pieces) if pieces else None)

    t = np.array(times) if samples is None else samples[samples <= times[-1]]
    return Trajectory(
        ode=ode,
        method=method,
        parameters=ode.named(p),
        times=t,
        states=np.array(points) if samples is None else interpolant(t),
        status=status,
        horizon=float(span[1]),
        reached=float(times[-1]),
        steps=len(times) - 1,
        interpolant=interpolant if samples is None else None,
        notes=notes,
    )
