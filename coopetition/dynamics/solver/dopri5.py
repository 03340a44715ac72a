"""Dormand–Prince trajectories of one start or many, by the generated step."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Array, ReadOnlyArrays, compile_for
from ..trajectory import Status, Trajectory
from . import loop
from .compilation import CompiledODE

Integers = NDArray[np.int64]
_CHUNK = 256  # members a worker takes at a time
_RECORD = 1024  # steps recorded at a time


@dataclasses.dataclass(frozen=True, eq=False)
class StepPolynomials(ReadOnlyArrays):
    """The interpolant of a Dormand–Prince trajectory: a polynomial of degree 4 for each step.

    Within a step from t to t + h, with θ = (time − t)/h,
    y = r1 + θ(r2 + (1−θ)(r3 + θ(r4 + (1−θ) r5))).
    """

    times: Array  # (step + 1,): the ends of the steps
    rows: Array  # (step, 5, state): r1 … r5

    def __call__(self, times: Array) -> Array:
        """States ``(…, state)`` at times ``(…,)``."""
        index = np.searchsorted(self.times, times, side="right") - 1
        step = np.clip(index, 0, len(self.rows) - 1)
        size = self.times[step + 1] - self.times[step]
        theta = ((times - self.times[step]) / size)[..., None]
        r1, r2, r3, r4, r5 = np.moveaxis(self.rows[step], -2, 0)
        rest = 1 - theta
        states: Array = r1 + theta * (r2 + rest * (r3 + theta * (r4 + rest * r5)))
        return states


def _loops(compiled: bool) -> loop.Loops:
    return loop.compiled_loops() if compiled else loop.INTERPRETED


def integrate_sampled(
    ode: CompiledODE, y0: Array, p: Array, span: Array, times: Array, tolerances: Array,
    *, compiled: bool,
) -> Trajectory:  # fmt: skip
    """A trajectory at the sampling times only."""
    states, statuses, reached, steps = integrate_members(
        ode, y0[None, :, None], p[None, :, None], span, times, tolerances, compiled=compiled
    )
    passed = times <= reached[0]
    return Trajectory(
        ode=ode,
        method="dopri5",
        parameters=ode.named(p),
        times=times[passed],
        states=states[0, passed, :, 0],
        status=Status(int(statuses[0])),
        horizon=float(span[1]),
        reached=float(reached[0]),
        steps=int(steps[0]),
    )


def integrate_recorded(
    ode: CompiledODE, y0: Array, p: Array, span: Array, tolerances: Array, *, compiled: bool
) -> Trajectory:
    """A trajectory with every step kept."""
    layout = ode.layout
    work, none = np.zeros(layout.length), np.empty(0)
    loop.put(work, 1, 0, y0[:, None], p[:, None], span, none, tolerances, none, layout.p, layout.y)
    all_times, all_rows = [np.zeros(1)], []
    record = _loops(compiled).record

    def arguments() -> tuple[Any, ...]:
        times, rows = np.empty(_RECORD + 1), np.empty((_RECORD, loop.DENSE_ROWS, len(y0)))
        return ode.functions["step"], ode.functions["begin"], work, layout.y, len(y0), times, rows

    compile_for(record, arguments())
    mode = ode.functions["flush"](0)
    try:
        status = -1
        while status < 0:
            *memory, times, rows = arguments()
            count, status = record(*memory, times, rows)
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
        steps=int(work[loop.STEPS]),
        interpolant=StepPolynomials(times, rows),
    )


def integrate_members(
    ode: CompiledODE, starts: Array, parameters: Array, span: Array, times: Array,
    tolerances: Array, *, compiled: bool = True, workers: int = 1,
) -> tuple[Array, Integers, Array, Integers]:  # fmt: skip
    """Integrate members ``(batch, state, part)``, shared among the workers; see `loop.advance`.

    Returns samples ``(batch, time, state, part)`` and each member's status, time reached and steps.
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

    def integrate_chunk(first: int) -> None:
        chunk_arguments = arguments(first)
        mode = ode.functions["flush"](0)
        try:
            advance(*chunk_arguments)
        finally:
            ode.functions["restore"](mode)

    compile_for(advance, arguments(0))
    if workers == 1:
        integrate_chunk(0)
    else:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(integrate_chunk, range(0, members, chunk)))
    return samples, statuses, reached, steps
