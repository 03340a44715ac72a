"""Exact gradient descent of the toy models in their reduced state.

v ← v − η ∂L/∂v in the full vectors is exactly y ← y + η f(y) in the reduced state; a step takes
about 15 ns, and no tensor of 20×20×160 entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from .arguments import (
    check_at_least_1,
    check_positive,
    checked_span,
    declared,
    dual_arguments,
    parameter_values,
    start_or_default,
    state_values,
)
from .model import Model
from .solver.compilation import CompiledODE, compile_ode
from .starts import Start
from .trajectory import SensitivityTrajectory, Status, Trajectory

if TYPE_CHECKING:  # sympy is imported only to make code that is not yet cached
    from .reduction import ReducedODE

_ROWS = 65536  # states kept by one call of the machine code
_LARGEST = 2**30  # bytes of all kept states; the outputs computed from them take four times as much


def descend(
    model: Model | ReducedODE | str,
    *,
    parameters: Mapping[str, float] | None = None,
    start: Start | ArrayLike | None = None,
    step_size: float = 1.0,
    until: float = 16000.0,
    stop_below: float | None = None,
    every: int = 1,
) -> Trajectory:
    """Follow gradient descent step by step.

    Parameters
    ----------
    model
        A declared model or the name of one in the catalogue, or a reduced ODE.
    parameters, start
        As in `integration.integrate`.
    step_size, until
        η, and the horizon in time, step size × step; by default the paper's 16,000 steps of size 1.
    stop_below
        Stop at the first step whose total loss (without floors, before the update) is below.
    every
        Keep each ``every``-th step, the first and the last.

    Returns
    -------
    Trajectory
        ``times`` are step size × step, ``stopped_at`` is the step. The status is NOT_FINITE where
        descent diverged; states are kept up to there.

    Raises
    ------
    ValueError
        If an argument is invalid, or the states to keep would take more than 1 GiB.

    Reference: arXiv 2503.05631, section 6 (η = 1, 16,000 steps, stop at 1e-6).

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> descend(get("induction"), stop_below=1e-6).status.name
    'STOPPED'
    """
    check_positive("step_size", step_size)
    count = max(1, round(checked_span(until)[1] / step_size))
    check_at_least_1("every", every)
    check_positive("stop_below", stop_below, "a positive loss")
    model = declared(model)
    ode = compile_ode(model)
    start = start_or_default(model, start)
    p, y = parameter_values(ode, parameters, start), state_values(ode, start)
    if (needed := count // every * y.nbytes) > _LARGEST:
        raise ValueError(
            f"every = {every}: of {count:,} steps the states kept would take "
            f"{needed / 2**30:,.1f} GiB; keep every {-(-count * y.nbytes // _LARGEST)}th or fewer, "
            "or lower until"
        )
    threshold = -np.inf if stop_below is None else stop_below
    steps, states, status = _descend(ode, y, p, count, step_size, threshold, every)
    return Trajectory(
        ode=ode,
        method="descent",
        parameters=ode.named(p),
        times=step_size * steps,
        states=states,
        status=status,
        horizon=step_size * count,
        reached=float(step_size * steps[-1]),
        steps=int(steps[-1]),
        stopped_at=float(steps[-1]) if status is Status.STOPPED else None,
    )


def _descend(
    ode: CompiledODE, y: Array, p: Array, count: int, step_size: float, threshold: float,
    every: int,
) -> tuple[Array, Array, Status]:  # fmt: skip
    """Kept steps, their states ``(step, state)``, and how descent ended."""
    descend_some = ode.functions["descend"]
    every = min(every, count)
    steps, states = [np.zeros(1)], [y[None].copy()]
    status, done = Status.REACHED, 0
    while done < count and status is Status.REACHED:
        block = min(every * _ROWS, count - done)
        rows = np.empty((block // every, len(y)))
        updates = descend_some(
            block, step_size, threshold, every, y.ctypes.data, p.ctypes.data, rows.ctypes.data
        )
        diverged = updates < 0 or not np.isfinite(y).all()
        updates = -1 - updates if updates < 0 else updates
        rows = rows[: updates // every]
        if diverged:
            status = Status.NOT_FINITE
            rows = rows[np.isfinite(rows).all(axis=1)]
        elif updates < block:
            status = Status.STOPPED
        steps.append(done + every * np.arange(1.0, len(rows) + 1))
        states.append(rows)
        done += updates
        if not diverged and updates % every:  # always keep the last step
            steps.append(np.array([float(done)]))
            states.append(y[None].copy())
    if status is Status.REACHED and threshold > 0:
        # no update tested the loss of the last state
        updates = descend_some(1, 0.0, threshold, 0, y.ctypes.data, p.ctypes.data, 0)
        status = Status.STOPPED if updates == 0 else status
    return np.concatenate(steps), np.concatenate(states), status


def descend_sensitivities(
    model: Model | ReducedODE | str,
    *,
    steps: ArrayLike,
    start: ArrayLike,
    start_sensitivities: ArrayLike,
    parameters: ArrayLike,
    parameter_sensitivities: ArrayLike,
    step_size: float = 1.0,
) -> SensitivityTrajectory:
    """Follow gradient descent with its exact derivatives in k directions.

    ``steps (time,)`` increase; the other arguments are as in `integration.integrate_sensitivities`.
    The result's ``times`` are step size × step.
    """
    check_positive("step_size", step_size)
    steps = np.array(steps, dtype=np.int64, ndmin=1)
    if steps.ndim != 1 or np.any(steps < 0) or np.any(np.diff(steps) <= 0):
        raise ValueError("steps must be increasing integers of at least 0")
    ode, y, p, directions = dual_arguments(
        model, "flow", (start, start_sensitivities), (parameters, parameter_sensitivities)
    )
    numbers = np.full((len(steps), *y.shape), np.nan)
    status, done = Status.REACHED, 0
    for k, step in enumerate(steps):
        updates = ode.functions["descend"](
            int(step) - done, step_size, -np.inf, 0, y.ctypes.data, p.ctypes.data, 0
        )
        if updates < step - done or not np.isfinite(y).all():
            status = Status.NOT_FINITE
            break
        done = int(step)
        numbers[k] = y
    return SensitivityTrajectory(
        times=float(step_size) * steps.astype(np.float64),
        states=numbers[:, :, 0],
        sensitivities=numbers[:, :, 1 : 1 + directions],
        status=status,
        steps=done,
    )
