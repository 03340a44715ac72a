"""Where along a trajectory something happens, located to a tolerance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from .trajectory import Floats, Status, Trajectory

_REFINE = 4  # points looked at within each step


def first_crossing(
    trajectory: Trajectory,
    quantity: Callable[[Floats], Floats],
    level: float,
    *,
    rising: bool,
    after: float = 0.0,
    xtol: float = 1e-9,
) -> float | None:
    """The first time at which a quantity of the state passes a level.

    Parameters
    ----------
    trajectory
        With an interpolant.
    quantity
        From states ``(time, state)`` to values ``(time,)``.
    level
        What is passed.
    rising
        Whether from below or from above; a quantity already beyond the level at ``after`` crosses
        there.
    after
        Where to begin looking.
    xtol
        Tolerance of the time, relative to the trajectory's length.

    Returns
    -------
    float or None
        The time, found by Brent's method on the interpolant; None where there is none.
    """
    from scipy.optimize import brentq

    last = float(trajectory.times[-1])
    if len(trajectory.times) < 2 or after > last:
        return None
    fractions = np.linspace(0, 1, _REFINE, endpoint=False)
    spans = np.diff(trajectory.times)
    grid = (trajectory.times[:-1, None] + spans[:, None] * fractions).ravel()
    grid = np.concatenate([[after], grid[grid > after], [last]])
    sign = 1.0 if rising else -1.0
    beyond = sign * (quantity(trajectory(grid)) - level) >= 0
    if not np.any(beyond):
        return None
    k = int(np.argmax(beyond))
    if k == 0:
        return after

    def distance(t: float) -> float:
        return float(quantity(trajectory(np.array([t])))[0]) - level

    return float(brentq(distance, grid[k - 1], grid[k], xtol=xtol * last, rtol=1e-12))


def cut_where_below(
    trajectory: Trajectory, stop_below: float, samples: Floats | None
) -> Trajectory:
    """The trajectory up to where its total loss first falls below; all of it if it never does."""

    def total(states: Floats) -> Floats:
        return trajectory.outputs_of(states)["total"]

    stopped = first_crossing(trajectory, total, stop_below, rising=False)
    if stopped is None:
        end, status, at = float(trajectory.times[-1]), trajectory.status, None
    else:
        end, status, at = stopped, Status.STOPPED, stopped
    if samples is not None:
        kept = samples[samples <= end]
        states, interpolant = trajectory(kept), None
    else:
        before = trajectory.times < end
        kept = np.append(trajectory.times[before], end)
        states = np.vstack([trajectory.states[before], trajectory(np.array([end]))])
        interpolant = trajectory.interpolant
    return dataclasses.replace(
        trajectory,
        times=kept,
        states=states,
        interpolant=interpolant,
        status=status,
        reached=end,
        stopped_at=at,
    )
