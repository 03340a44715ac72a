"""The loop around a generated step: refill lanes, sample the interpolant, record endings.

Loop and step share one flat array of doubles, laid out by `Workspace`. The functions here are plain
Python, enough for a single short trajectory; `compiled_loops` are their numba versions. They depend
on no model, so they are compiled once per installation.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import arrays

CONTROLS = (
    "time",
    "step",  # size of the next step
    "end",  # where the trajectory ends
    "stop",  # time at which the step returns to the loop
    "error_old",
    "smallest_step",
    "rtol",
    "atol",
    "steps",
    "steps_limit",
    "time_old",  # the last accepted step: where it began
    "step_old",  # and its size
    "fresh",  # 1 where a lane holds a new trajectory
)
CONTROL_COUNT = len(CONTROLS)
# their positions, as constants numba can fold
(
    TIME, STEP, END, STOP, _, SMALLEST, RTOL, ATOL, STEPS, STEPS_LIMIT, TIME_OLD, STEP_OLD, FRESH,
) = range(CONTROL_COUNT)  # fmt: skip
DENSE_ROWS = 5

# how a trajectory ended, the numbers of `trajectory.Status`
REACHED, STEP_UNDERFLOW, NOT_FINITE, TOO_MANY_STEPS = 0, 1, 2, 3


class Workspace:
    """Where the parts of a step's memory begin, in doubles; a number takes ``size`` doubles."""

    def __init__(self, lanes: int, size: int, states: int, parameters: int) -> None:
        self.lanes = lanes
        self.p = CONTROL_COUNT * lanes  # the parameters, after the controls
        self.y = self.p + parameters * size  # the state
        self.slope = self.y + states * size  # dy/dt at the state
        self.dense = self.slope + states * size  # the interpolant's rows
        self.length = self.dense + DENSE_ROWS * states * size

    def control(self, name: str) -> int:
        """Where a control's lanes begin."""
        return CONTROLS.index(name) * self.lanes


def advance(
    step: Any, begin: Any, work: Any, lanes: int, starts: Any, parameters: Any, span: Any,
    times: Any, tolerances: Any, first: int, count: int, samples: Any, statuses: Any, reached: Any,
    steps: Any,
) -> None:  # fmt: skip
    """Integrate the members ``first … first + count − 1``, ``lanes`` at a time.

    ``step`` and ``begin`` are generated functions of the address of ``work``. ``starts`` and
    ``parameters`` have shapes ``(member, state, part)`` and ``(member, parameter, part)``, the
    parts of a number being its value and derivatives; ``times`` increase within ``span``;
    ``tolerances`` are as in `arguments.checked_tolerances`. Writes ``samples (member, time, state,
    part)``, NaN from a failure on, and each member's status, time reached and number of steps.
    """
    states, parts = starts.shape[1], starts.shape[2]
    size = lanes * parts
    p0 = CONTROL_COUNT * lanes
    y0 = p0 + parameters.shape[1] * size
    dense0 = y0 + 2 * states * size
    member = np.full(lanes, -1, np.int64)
    cursor = np.zeros(lanes, np.int64)
    waiting, running = first, 0
    for lane in range(lanes):
        _idle(work, lanes, lane)
    while True:
        refilled = False
        for lane in range(lanes):
            if member[lane] < 0 and waiting < first + count:
                member[lane] = waiting
                cursor[lane] = put(
                    work, lanes, lane, starts[waiting], parameters[waiting], span, times,
                    tolerances, samples[waiting], p0, y0,
                )  # fmt: skip
                waiting += 1
                running += 1
                refilled = True
        if running == 0:
            return
        if refilled:
            begin(work.ctypes.data)
        attention = 0
        while attention == 0:
            attention = step(work.ctypes.data)
        for lane in range(lanes):
            if (attention >> lane) & 1 == 0:
                continue
            m = member[lane]
            if m < 0:
                _idle(work, lanes, lane)
                continue
            cursor[lane] = _sample(
                work, lanes, lane, parts, times, cursor[lane], samples[m], dense0
            )
            status = _status(work, lanes, lane, y0, states * size, span[1])
            if status >= 0:
                statuses[m] = status
                reached[m] = work[TIME * lanes + lane]
                steps[m] = np.int64(work[STEPS * lanes + lane])
                samples[m, cursor[lane] :] = np.nan
                member[lane] = -1
                running -= 1
                _idle(work, lanes, lane)
            elif cursor[lane] < times.shape[0]:
                work[STOP * lanes + lane] = times[cursor[lane]]
            else:
                work[STOP * lanes + lane] = span[1]


def _idle(work: Any, lanes: int, lane: int) -> None:
    """Set an empty lane so that its time stands still and the step never returns for it."""
    work[TIME * lanes + lane] = 0.0
    work[END * lanes + lane] = 0.0
    work[STEP * lanes + lane] = 1.0
    work[STOP * lanes + lane] = np.inf
    work[SMALLEST * lanes + lane] = -np.inf
    work[STEPS * lanes + lane] = 0.0
    work[STEPS_LIMIT * lanes + lane] = np.inf
    work[RTOL * lanes + lane] = 1.0
    work[ATOL * lanes + lane] = 1.0
    work[FRESH * lanes + lane] = 0.0


def put(
    work: Any, lanes: int, lane: int, start: Any, parameters: Any, span: Any, times: Any,
    tolerances: Any, samples: Any, p0: int, y0: int,
) -> int:  # fmt: skip
    """Put a member into a lane; returns the number of samples at its start."""
    work[TIME * lanes + lane] = span[0]
    work[END * lanes + lane] = span[1]
    work[RTOL * lanes + lane] = tolerances[0]
    work[ATOL * lanes + lane] = tolerances[1]
    work[SMALLEST * lanes + lane] = tolerances[2] * (span[1] - span[0])
    work[STEPS_LIMIT * lanes + lane] = tolerances[3]
    work[STEPS * lanes + lane] = 0.0
    work[FRESH * lanes + lane] = 1.0
    work[p0 + lane : y0 : lanes] = parameters.ravel()
    work[y0 + lane : y0 + start.size * lanes : lanes] = start.ravel()
    cursor = 0
    while cursor < times.shape[0] and times[cursor] <= span[0]:
        samples[cursor] = start
        cursor += 1
    work[STOP * lanes + lane] = times[cursor] if cursor < times.shape[0] else span[1]
    return cursor


def _sample(
    work: Any, lanes: int, lane: int, parts: int, times: Any, cursor: int, samples: Any, dense0: int
) -> int:
    """Write the samples within the last accepted step; returns the next sample's index."""
    now = work[TIME * lanes + lane]
    before, size = work[TIME_OLD * lanes + lane], work[STEP_OLD * lanes + lane]
    states = samples.shape[1]
    row = states * parts * lanes
    while cursor < times.shape[0] and times[cursor] <= now:
        theta = (times[cursor] - before) / size
        rest = 1.0 - theta
        for i in range(states):
            for part in range(parts):
                at = dense0 + (i * parts + part) * lanes + lane
                samples[cursor, i, part] = work[at] + theta * (
                    work[at + row]
                    + rest
                    * (
                        work[at + 2 * row]
                        + theta * (work[at + 3 * row] + rest * work[at + 4 * row])
                    )
                )
        cursor += 1
    return cursor


def _status(work: Any, lanes: int, lane: int, y0: int, width: int, end: float) -> int:
    """How the lane's trajectory ended; −1 while it goes on."""
    if work[TIME * lanes + lane] >= end:
        return REACHED
    slope0 = y0 + width
    if not work[STEP * lanes + lane] >= work[SMALLEST * lanes + lane]:
        # a step that vanishes at finite slopes means stiffness or a pole; else the state diverged
        for i in range(lane, width, lanes):
            if not np.isfinite(work[y0 + i]) or not np.abs(work[slope0 + i]) < 1e100:
                return NOT_FINITE
        return STEP_UNDERFLOW
    if work[STEPS * lanes + lane] >= work[STEPS_LIMIT * lanes + lane]:
        return TOO_MANY_STEPS
    return -1


def record(
    step: Any, begin: Any, work: Any, y0: int, width: int, times: Any, rows: Any
) -> tuple[int, int]:
    """Take steps of the single trajectory in ``work`` until it ends or the record is full.

    ``width`` is the length of the state at ``y0``. Writes the ends of the accepted steps to
    ``times[1:] (capacity,)`` and their interpolants to ``rows (capacity, 5, state)``. Returns the
    number of steps recorded and the status, −1 if the trajectory goes on.
    """
    begin(work.ctypes.data)
    dense0 = y0 + 2 * width
    count, status = 0, -1
    while count < rows.shape[0] and status < 0:
        before = work[TIME]
        step(work.ctypes.data)
        if work[TIME] > before:
            times[count + 1] = work[TIME]
            rows[count] = work[dense0 : dense0 + 5 * width].reshape(5, width)
            count += 1
        status = _status(work, 1, 0, y0, width, work[END])
    return count, status


@dataclasses.dataclass(frozen=True)
class Loops:
    """The loop functions, interpreted or compiled."""

    advance: Callable[..., None]
    record: Callable[..., tuple[int, int]]


INTERPRETED = Loops(advance, record)


@functools.cache
def compiled_loops() -> Loops:
    """The loops compiled by numba: about two seconds the first time, then from numba's cache."""
    # a separate namespace, in which compiled functions call compiled ones
    scope = dict(globals())
    for function in (_idle, put, _sample, _status, advance, record):
        copy = types.FunctionType(function.__code__, scope, function.__name__)
        scope[function.__name__] = arrays.jit(copy, nogil=True, error_model="numpy")
    return Loops(scope["advance"], scope["record"])
