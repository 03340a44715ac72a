"""Dormand–Prince trajectories: the generated step, driven for one start or for many."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays, compile_for
from ..trajectory import Floats, Status, Trajectory
from . import loop
from .compilation import CompiledODE

Integers = NDArray[np.int64]
_CHUNK = 256  # members a worker takes at a time
_RECORD = 1024  # steps recorded at a time


@dataclasses.dataclass(frozen=True, eq=False)
class StepPolynomials(ReadOnlyArrays):
    """The interpolant of a Dormand–Prince trajectory: a polynomial of degree 4 for each step.

    Within a step from t to t + h, with θ = (time − t)/h,
    y = r1 + θ(r2 + (1−θ)(r3 + θ(r4 + (1−θ) r5))). ``times (step + 1,)`` are the ends of the steps,
    ``rows (step, 5, state)`` are r1 … r5.
    """

    times: Floats
    rows: Floats

    def __call__(self, times: Floats) -> Floats:
        """States ``(…, state)`` at times ``(…,)``."""
        index = np.searchsorted(self.times, times, side="right") - 1
        step = np.clip(index, 0, len(self.rows) - 1)
        size = self.times[step + 1] - self.times[step]
        theta = ((times - self.times[step]) / size)[..., None]
        r1, r2, r3, r4, r5 = np.moveaxis(self.rows[step], -2, 0)
        rest = 1 - theta
        states: Floats = r1 + theta * (r2 + rest * (r3 + theta * (r4 + rest * r5)))
        return states


def _loops(compiled: bool) -> loop.Loops:
    return loop.compiled_loops() if compiled else loop.INTERPRETED


def integrate_sampled(
    ode: CompiledODE, y0: Floats, p: Floats, span: Floats, times: Floats, tolerances: Floats,
    *, compiled: bool,
) -> Trajectory:  # fmt: skip
    """A trajectory at the given times only."""
    states, statuses, reached, steps = integrate_members(
        ode, y0[None, :, None], p[None, :, None], span, times, tolerances, compiled=compiled
    )
    kept = times <= reached[0]
    return Trajectory(
        ode=ode,
        method="dopri5",
        parameters=ode.named(p),
        times=times[kept],
        states=states[0, kept, :, 0],
        status=Status(int(statuses[0])),
        horizon=float(span[1]),
        reached=float(reached[0]),
        steps=int(steps[0]),
    )


def integrate_recorded(
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
    all_times, all_rows = [np.zeros(1)], []
    record = _loops(compiled).record

    def arguments() -> tuple[Any, ...]:
        times, rows = np.empty(_RECORD + 1), np.empty((_RECORD, loop.DENSE_ROWS, width))
        return ode.functions["step"], ode.functions["begin"], work, layout.y, width, times, rows

    compile_for(record, arguments())
    mode = ode.functions["flush"](0)
    try:
        status = -1
        while status < 0:
            *given, times, rows = arguments()
            count, status = record(*given, times, rows)
            all_times.append(times[1 : count + 1].copy())
            all_rows.append(rows[:count].copy())
    finally:
        ode.functions["restore"](mode)
    times, rows = np.concatenate(all_times), np.concatenate(all_rows)
    return Trajectory(
        ode=ode,
        method="dopri5",
        parameters=ode.named(p),
        times=times,
        states=np.concatenate([y0[None], rows[:, 0] + rows[:, 1]]),
        status=Status(status),
        horizon=float(span[1]),
        reached=float(times[-1]),
        steps=int(work[layout.control("steps")]),
        interpolant=StepPolynomials(times, rows),
    )


def integrate_members(
    ode: CompiledODE, starts: Floats, parameters: Floats, span: Floats, times: Floats,
    tolerances: Floats, *, compiled: bool = True, workers: int = 1,
) -> tuple[Floats, Integers, Floats, Integers]:  # fmt: skip
    """Integrate members ``(batch, state, part)``, dealt out to all workers; see `loop.advance`.

    Returns samples ``(batch, time, state, part)`` and status, time reached and steps of each.
    """
    members, states, parts = starts.shape
    samples = np.empty((members, len(times), states, parts))
    statuses, steps = np.zeros(members, np.int64), np.zeros(members, np.int64)
    reached = np.zeros(members)
    advance = _loops(compiled).advance
    chunk = members if workers == 1 else max(1, min(_CHUNK, -(-members // workers)))

    def arguments(first: int) -> tuple[Any, ...]:
        return (
            ode.functions["step"], ode.functions["begin"], np.zeros(ode.layout.length),
            ode.layout.lanes, starts, parameters, span, times, tolerances, first,
            min(chunk, members - first), samples, statuses, reached, steps,
        )  # fmt: skip

    def work_on(first: int) -> None:
        given = arguments(first)
        mode = ode.functions["flush"](0)
        try:
            advance(*given)
        finally:
            ode.functions["restore"](mode)

    compile_for(advance, arguments(0))
    if workers == 1:
        work_on(0)
    else:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(work_on, range(0, members, chunk)))
    return samples, statuses, reached, steps
