"""Integrate a model: one trajectory, many, or one with its sensitivities.

The default method is Dormand–Prince 5(4) in generated code; LSODA and Radau (scipy, with the derived
Jacobian) stand by for stiff systems. How a trajectory ended is part of the result, never an array
of NaN without a word.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import stepping
from .arguments import (
    MAX_STEPS,
    checked_times,
    checked_tolerances,
    given_start,
    parameter_rows,
    parameter_values,
    state_rows,
    state_values,
)
from .arithmetic import Dual, Lanes
from .compilation import CompiledODE, compile_ode
from .errors import unknown_name
from .events import cut_where_below
from .models import Model
from .reduction import ReducedODE
from .starts import Start
from .trajectory import Batch, Floats, Outcome, StepPolynomials, TangentTrajectory, Trajectory

Integers = NDArray[np.int64]
LANES = 8
METHODS = ("auto", "dopri5", "lsoda", "radau")
_CHUNK = 256  # members a worker takes at a time


def integrate(
    model: Model | ReducedODE,
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
        A declared model, or a reduced ODE.
    parameters
        Values by name; what is not given comes from the start, then from the model's defaults.
    start
        A `Start`, or the state itself, shape ``(state,)``; by default a random one with seed 0.
    until
        The horizon, in the model's dimensionless time (step size × step).
    times
        Times to sample at; by default every step is kept, and the result can be evaluated anywhere.
    method
        ``dopri5``; ``lsoda`` or ``radau`` for stiff systems; ``auto``: dopri5, and lsoda where
        that takes too many steps (the result's notes say so).
    form
        ``flow``, or ``modified``: the flow that descent of step size ``parameters["eta"]`` follows
        to second order.
    rtol, atol
        Relative and absolute tolerance of a step's error (root mean square over the states).
    max_steps
        Most steps.
    stop_below
        Stop where the total loss (without floors) falls below; located to the tolerance.
    compiled
        Whether the loop is compiled by numba (seconds, once per installation) or interpreted
        (about 2 ms a trajectory, nothing to wait for).

    Raises
    ------
    ValueError
        If an argument is unfit; the message names it.

    Examples
    --------
    >>> from coopetition.models import get
    >>> end = integrate(get("induction"), until=2000.0, compiled=False)
    >>> end.outcome.name, bool(end.output("total")[-1] < 1e-6)
    ('REACHED', True)
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    tolerances = checked_tolerances(rtol, atol, max_steps)
    ode = compile_ode(model, Lanes(1), form=form)
    start = given_start(model, start)
    p, y0 = parameter_values(ode, parameters, start), state_values(ode, start)
    samples = None if times is None else checked_times(times, until)
    span = _span(until)
    if stop_below is not None and not (np.isfinite(stop_below) and stop_below > 0):
        raise ValueError(f"stop_below must be a positive loss, not {stop_below!r}")

    if method in ("lsoda", "radau"):
        from .stiff import integrate_stiff

        result = integrate_stiff(ode, method, y0, p, span, samples, tolerances)
    elif samples is not None and stop_below is None:
        result = _sampled(ode, y0, p, span, samples, tolerances, compiled=compiled)
    else:
        result = _recorded(ode, y0, p, span, tolerances, compiled=compiled)
    if method == "auto" and result.outcome in (Outcome.TOO_MANY_STEPS, Outcome.STEP_UNDERFLOW):
        from .stiff import integrate_stiff

        why = f"dopri5 gave up at time {result.times[-1]:g} ({result.outcome.explanation})"
        result = integrate_stiff(
            ode, "lsoda", y0, p, span, samples, tolerances, notes=(f"{why}; lsoda was used",)
        )
    return result if stop_below is None else cut_where_below(result, stop_below, samples)


def _span(until: float) -> Floats:
    if not (np.isfinite(until) and until > 0):
        raise ValueError(f"until must be a positive time, not {until!r}")
    return np.array([0.0, float(until)])


def _loop(compiled: bool) -> stepping.Loops:
    return stepping.compiled() if compiled else stepping.INTERPRETED


def _sampled(
    ode: CompiledODE, y0: Floats, p: Floats, span: Floats, times: Floats, tolerances: Floats,
    *, compiled: bool,
) -> Trajectory:  # fmt: skip
    """A trajectory at the given times only."""
    states, outcome, reached, steps = _advance(
        ode, y0[None, :, None], p[None, :, None], span, times, tolerances, compiled=compiled
    )
    kept = times <= reached[0]
    return Trajectory(
        ode=ode,
        method="dopri5",
        parameters=dict(zip(ode.parameter_names, p.tolist(), strict=True)),
        times=times[kept],
        states=states[0, kept, :, 0],
        outcome=Outcome(int(outcome[0])),
        horizon=float(span[1]),
        steps=int(steps[0]),
    )


def _recorded(
    ode: CompiledODE, y0: Floats, p: Floats, span: Floats, tolerances: Floats, *, compiled: bool
) -> Trajectory:
    """A trajectory with every step kept."""
    layout = ode.layout
    work = np.zeros(layout.length)
    width = layout.states
    for name, value in (
        ("end", span[1]), ("stop", np.inf), ("rtol", tolerances[0]), ("atol", tolerances[1]),
        ("smallest_step", tolerances[2] * span[1]), ("steps_limit", tolerances[3]), ("fresh", 1.0),
    ):  # fmt: skip
        work[layout.control(name)] = value
    work[layout.p : layout.y] = p
    work[layout.y : layout.slope] = y0
    all_times, all_rows, capacity = [np.zeros(1)], [], 1024
    mode = ode.functions["flush"](0)
    try:
        while True:
            times, rows = np.empty(capacity + 1), np.empty((capacity, 5, width))
            count, outcome = _loop(compiled).record(
                ode.functions["step"], ode.functions["begin"], work, layout.y, width, times, rows
            )
            all_times.append(times[1 : count + 1].copy())
            all_rows.append(rows[:count].copy())
            if outcome >= 0:
                break
    finally:
        ode.functions["restore"](mode)
    times, rows = np.concatenate(all_times), np.concatenate(all_rows)
    states = np.concatenate([y0[None], rows[:, 0] + rows[:, 1]])
    return Trajectory(
        ode=ode,
        method="dopri5",
        parameters=dict(zip(ode.parameter_names, p.tolist(), strict=True)),
        times=times,
        states=states,
        outcome=Outcome(int(outcome)),
        horizon=float(span[1]),
        steps=int(work[layout.control("steps")]),
        interpolant=StepPolynomials(times, rows),
    )


def _advance(
    ode: CompiledODE, starts: Floats, parameters: Floats, span: Floats, times: Floats,
    tolerances: Floats, *, compiled: bool = True, workers: int = 1,
) -> tuple[Floats, Integers, Floats, Integers]:  # fmt: skip
    """Members ``(batch, state, part)`` to samples ``(batch, time, state, part)``, over all workers."""
    members, states, parts = starts.shape
    samples = np.empty((members, len(times), states, parts))
    outcome, steps = np.zeros(members, np.int64), np.zeros(members, np.int64)
    reached = np.zeros(members)
    loop = _loop(compiled)

    def work_on(first: int) -> None:
        mode = ode.functions["flush"](0)
        try:
            loop.advance(
                ode.functions["step"], ode.functions["begin"], np.zeros(ode.layout.length),
                ode.layout.lanes, starts, parameters, span, times, tolerances, first,
                min(chunk, members - first), samples, outcome, reached, steps,
            )  # fmt: skip
        finally:
            ode.functions["restore"](mode)

    chunk = max(1, min(_CHUNK, -(-members // workers)))
    if workers == 1:
        chunk = members
        work_on(0)
    else:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(work_on, range(0, members, chunk)))
    return samples, outcome, reached, steps


def integrate_many(
    model: Model | ReducedODE,
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
) -> Batch:
    """Integrate many trajectories over parameters and starts, on all cores.

    Each trajectory has its own step size; one that fails leaves the rest as they are.

    Parameters
    ----------
    model
        A declared model, or a reduced ODE.
    parameters
        A number, or an array of shape ``(batch,)``, for each parameter given.
    starts
        One start for all, a sequence of them, or states of shape ``(batch, state)``.
    until, times
        The horizon, and the times to sample at (by default the horizon alone).
    form, rtol, atol, max_steps
        As in `integrate`.
    workers
        Threads; by default one a core.

    Raises
    ------
    ValueError
        If an argument is unfit or batch sizes differ.

    Examples
    --------
    >>> from coopetition.models import get
    >>> batch = integrate_many(get("coopetition"), parameters={"mu1": [0.0, 0.1, 0.3]}, until=100.0)
    >>> batch.states.shape
    (3, 1, 8)
    """
    tolerances = checked_tolerances(rtol, atol, max_steps)
    span = _span(until)
    sample_times = np.array([until]) if times is None else checked_times(times, until)
    ode = compile_ode(model, Lanes(LANES), form=form)
    tables = compile_ode(model, Lanes(1), form=form)
    starts = given_start(model, starts)
    p, y0 = parameter_rows(ode, parameters, starts), state_rows(ode, starts)
    members = max(len(p), len(y0))
    if len(y0) not in (1, members) or len(p) not in (1, members):
        raise ValueError(f"{len(p)} parameter sets and {len(y0)} starts: counts must agree or be 1")
    p = np.ascontiguousarray(np.broadcast_to(p, (members, p.shape[1])))
    y0 = np.ascontiguousarray(np.broadcast_to(y0, (members, y0.shape[1])))
    workers = workers or os.cpu_count() or 1
    states, outcome, reached, steps = _advance(
        ode, y0[..., None], p[..., None], span, sample_times, tolerances, workers=workers
    )
    return Batch(
        ode=tables,
        times=sample_times,
        states=states[..., 0],
        parameters=p,
        outcomes=outcome,
        reached=reached,
        steps=steps,
    )


def integrate_tangents(
    model: Model | ReducedODE,
    *,
    times: ArrayLike,
    start: ArrayLike,
    start_tangents: ArrayLike,
    parameters: ArrayLike,
    parameter_tangents: ArrayLike,
    until: float | None = None,
    form: str = "flow",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = MAX_STEPS,
) -> TangentTrajectory:
    """Integrate one trajectory with its exact derivatives in k directions.

    With start y0(θ) and parameters p(θ), the tangents S = ∂y/∂θ obey Ṡ = J S + (∂f/∂p)(∂p/∂θ) from
    S(0) = ∂y0/∂θ. They are computed with the state, in one pass, by forward-mode differentiation of
    each step: derivatives of the numerical solution itself at fixed step sizes.

    Parameters
    ----------
    model
        A declared model, or a reduced ODE.
    times
        Sampling times, shape ``(time,)``.
    start, start_tangents
        y0, shape ``(state,)``, and ∂y0/∂θ, shape ``(state, k)``.
    parameters, parameter_tangents
        p in the order of ``parameter_names``, shape ``(p,)``, and ∂p/∂θ, shape ``(p, k)``.
    until
        The horizon; by default the last time.
    form, rtol, atol, max_steps
        As in `integrate`.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    directions = np.asarray(start_tangents).shape[-1]
    padded = -(-directions // 8) * 8  # whole vector registers
    ode = compile_ode(model, Dual(padded), form=form)
    tolerances = checked_tolerances(rtol, atol, max_steps)
    y = with_tangents("start", start, start_tangents, len(ode.state_names), padded)
    p = with_tangents(
        "parameters", parameters, parameter_tangents, len(ode.parameter_names), padded
    )
    last = float(np.max(times)) if until is None else float(until)
    sample_times = checked_times(times, last)
    states, outcome, _, steps = _advance(
        ode, y[None], p[None], _span(last), sample_times, tolerances
    )
    return TangentTrajectory(
        times=sample_times,
        states=states[0, :, :, 0],
        tangents=states[0, :, :, 1 : 1 + directions],
        outcome=Outcome(int(outcome[0])),
        steps=int(steps[0]),
    )


def with_tangents(
    name: str, values: ArrayLike, tangents: ArrayLike, count: int, padded: int
) -> Floats:
    """Values and tangents as dual numbers, shape ``(count, 1 + padded)``."""
    value, tangent = np.asarray(values, dtype=np.float64), np.asarray(tangents, dtype=np.float64)
    if value.shape != (count,) or tangent.ndim != 2 or len(tangent) != count:
        raise ValueError(
            f"{name} must have shape ({count},) and its tangents ({count}, k), "
            f"not {value.shape} and {tangent.shape}"
        )
    result = np.zeros((count, 1 + padded))
    result[:, 0] = value
    result[:, 1 : 1 + tangent.shape[1]] = tangent
    return result
