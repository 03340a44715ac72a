"""Integrate a model: one trajectory, many, or one with its sensitivities.

The default method is Dormand–Prince 5(4) in generated code; for stiff systems there are scipy's
LSODA and Radau, with the derived Jacobian. Every result says how its trajectory ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..errors import unknown_name
from .arguments import (
    MAX_STEPS,
    check_at_least_1,
    check_positive,
    checked_span,
    checked_times,
    checked_tolerances,
    declared,
    dual_arguments,
    parameter_rows,
    parameter_values,
    start_or_default,
    state_rows,
    state_values,
)
from .events import cut_where_below
from .model import Model
from .solver.arithmetic import Arithmetic
from .solver.compilation import compile_ode
from .solver.dopri5 import integrate_members, integrate_recorded, integrate_sampled
from .starts import Start
from .trajectory import SensitivityTrajectory, Status, Trajectories, Trajectory

if TYPE_CHECKING:  # sympy is imported only to make code that is not yet cached
    from .reduction import ReducedODE

LANES = 8
METHODS = ("auto", "dopri5", "lsoda", "radau")


def integrate(
    model: Model | ReducedODE | str,
    *,
    parameters: Mapping[str, float] | None = None,
    start: Start | ArrayLike | None = None,
    until: float = 16000.0,
    times: ArrayLike | None = None,
    method: str = "auto",
    form: str = "flow",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = MAX_STEPS,
    stop_below: float | None = None,
    compiled: bool = True,
) -> Trajectory:
    """Integrate one trajectory.

    Parameters
    ----------
    model
        A declared model or the name of one in the catalogue, or a reduced ODE.
    parameters
        Values by name; the others come from the start, then from the model's defaults.
    start
        A `Start`, or the state itself, shape ``(state,)``; by default a random one with seed 0.
    until
        The horizon, in the model's dimensionless time (step size × step).
    times
        Times to sample at; by default every step is kept, and the result can be evaluated anywhere.
    method
        ``dopri5``; ``lsoda`` or ``radau`` for stiff systems; ``auto``: dopri5, then lsoda if dopri5
        gives up (the result's notes say so).
    form
        ``flow``, or ``modified``: the flow that descent of step size ``parameters["eta"]`` follows
        to second order.
    rtol, atol
        Relative and absolute tolerance of a step's error (root mean square over the states).
    max_steps
        The largest number of steps.
    stop_below
        Stop where the total loss (without floors) falls below; located to the tolerance.
    compiled
        Whether numba compiles the loop (seconds, once per installation) or Python interprets it
        (about 2 ms a trajectory).

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> end = integrate(get("induction"), until=2000.0, compiled=False)
    >>> end.status.name, bool(end.output("total")[-1] < 1e-6)
    ('REACHED', True)
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    tolerances = checked_tolerances(rtol, atol, max_steps)
    model = declared(model)
    ode = compile_ode(model, form=form)
    start = start_or_default(model, start)
    p, y0 = parameter_values(ode, parameters, start), state_values(ode, start)
    samples = None if times is None else checked_times(times, until)
    span = checked_span(until)
    check_positive("stop_below", stop_below, "a positive loss")
    # locating where the loss passes a threshold needs every step
    sampled = samples if stop_below is None else None

    notes: tuple[str, ...] = ()
    if method in ("auto", "dopri5"):
        if sampled is not None:
            result = integrate_sampled(ode, y0, p, span, sampled, tolerances, compiled=compiled)
        else:
            result = integrate_recorded(ode, y0, p, span, tolerances, compiled=compiled)
        if method == "auto" and result.status in (Status.TOO_MANY_STEPS, Status.STEP_UNDERFLOW):
            why = f"dopri5 gave up at time {result.reached:g} ({result.status.explanation})"
            method, notes = "lsoda", (f"{why}; lsoda was used",)
    if method in ("lsoda", "radau"):
        from .solver.stiff import integrate_stiff

        result = integrate_stiff(ode, method, y0, p, span, sampled, tolerances, notes=notes)
    return result if stop_below is None else cut_where_below(result, stop_below, samples)


def integrate_many(
    model: Model | ReducedODE | str,
    *,
    parameters: Mapping[str, ArrayLike] | None = None,
    starts: Start | Sequence[Start] | ArrayLike | None = None,
    until: float = 16000.0,
    times: ArrayLike | None = None,
    form: str = "flow",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = MAX_STEPS,
    workers: int | None = None,
) -> Trajectories:
    """Integrate many trajectories over parameters and starts, on all cores.

    Each trajectory has its own step size; a failure does not affect the others.

    Parameters
    ----------
    model, form, rtol, atol, max_steps
        As in `integrate`.
    parameters
        A number, or an array of shape ``(batch,)``, for each parameter given.
    starts
        One start for all, a sequence of them, or states of shape ``(batch, state)``.
    until, times
        The horizon, and the times to sample at (by default the horizon alone).
    workers
        Threads; by default one a core.

    Raises
    ------
    ValueError
        If an argument is invalid or batch sizes differ.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> batch = integrate_many(get("coopetition"), parameters={"mu1": [0.0, 0.1, 0.3]}, until=100.0)
    >>> batch.states.shape
    (3, 1, 8)
    """
    tolerances = checked_tolerances(rtol, atol, max_steps)
    span = checked_span(until)
    sample_times = span[1:] if times is None else checked_times(times, until)
    check_at_least_1("workers", workers)
    model = declared(model)
    ode = compile_ode(model, Arithmetic(lanes=LANES), form=form)
    tables = compile_ode(model, form=form)
    starts = start_or_default(model, starts)
    p, y0 = parameter_rows(ode, parameters, starts), state_rows(ode, starts)
    members = max(len(p), len(y0))
    if len(y0) not in (1, members) or len(p) not in (1, members):
        raise ValueError(f"{len(p)} parameter sets and {len(y0)} starts: counts must agree or be 1")
    # copies: numba would compile anew for read-only arrays
    p = np.array(np.broadcast_to(p, (members, p.shape[1])), order="C")
    y0 = np.array(np.broadcast_to(y0, (members, y0.shape[1])), order="C")
    states, statuses, reached, steps = integrate_members(
        ode, y0[..., None], p[..., None], span, sample_times, tolerances,
        workers=workers or os.cpu_count() or 1,
    )  # fmt: skip
    return Trajectories(
        ode=tables,
        times=sample_times,
        states=states[..., 0],
        parameters=p,
        statuses=statuses,
        reached=reached,
        steps=steps,
    )


def integrate_sensitivities(
    model: Model | ReducedODE | str,
    *,
    times: ArrayLike,
    start: ArrayLike,
    start_sensitivities: ArrayLike,
    parameters: ArrayLike,
    parameter_sensitivities: ArrayLike,
    until: float | None = None,
    form: str = "flow",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = MAX_STEPS,
) -> SensitivityTrajectory:
    """Integrate one trajectory with its exact derivatives in k directions.

    With start y0(θ) and parameters p(θ), the sensitivities S = ∂y/∂θ obey Ṡ = J S + (∂f/∂p)(∂p/∂θ)
    from S(0) = ∂y0/∂θ. They are computed with the state, in one pass, by forward-mode
    differentiation of each step: derivatives of the numerical solution itself at fixed step sizes.
    The state's error sets the step size; a sensitivity's error shortens a step only where it
    exceeds 1000 times the tolerance.

    Parameters
    ----------
    model, form, rtol, atol, max_steps
        As in `integrate`.
    times
        Sampling times, shape ``(time,)``; the last above 0 unless ``until`` is given.
    start, start_sensitivities
        y0, shape ``(state,)``, and ∂y0/∂θ, shape ``(state, k)``.
    parameters, parameter_sensitivities
        p in the order of ``parameter_names``, shape ``(p,)``, and ∂p/∂θ, shape ``(p, k)``.
    until
        The horizon; by default the last time.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    ode, y, p, directions = dual_arguments(
        model, form, (start, start_sensitivities), (parameters, parameter_sensitivities)
    )
    tolerances = checked_tolerances(rtol, atol, max_steps)
    sample_times = checked_times(times, np.inf if until is None else until)
    last = float(sample_times[-1]) if until is None else float(until)
    if until is None and last == 0:
        raise ValueError(f"times = {times!r}: the last must lie above 0, unless until is given")
    states, statuses, _, steps = integrate_members(
        ode, y[None], p[None], checked_span(last), sample_times, tolerances
    )
    return SensitivityTrajectory(
        times=sample_times,
        states=states[0, :, :, 0],
        sensitivities=states[0, :, :, 1 : 1 + directions],
        status=Status(int(statuses[0])),
        steps=int(steps[0]),
    )
