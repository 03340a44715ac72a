"""Where along a trajectory's continuous solution something happens, located to a tolerance."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..curves.landmarks import NAMES, Landmarks, landmarks
from .readout import SHARED_FLIP, Readout, observe
from .trajectory import Floats, Status, Trajectory

_WITHIN_STEP = 4  # points looked at within each step
_XTOL = 1e-9  # of the time at which the loss falls below, relative to the trajectory's length
_SAMPLES = 2000  # of the horizon, on which landmarks are first looked for
_ROUNDS, _POINTS = 4, 40  # of refinement around each landmark; points of each round


def landmarks_of(trajectory: Trajectory, readout: Readout = SHARED_FLIP) -> Landmarks | None:
    """The landmarks of the curves that a trajectory predicts.

    Found on a grid, then located by refining the grid around each: every round narrows the gap by
    a factor of 20, to below 1e-8 of the horizon. Descent is a sequence of states, so its landmarks
    are located to within a step.

    Parameters
    ----------
    trajectory
        With an interpolant, or samples close enough to be joined by lines.
    readout
        Gains, and the rate that turns time into sequences.

    Returns
    -------
    Landmarks or None
        In sequences; None for a model that predicts no flip curve.
    """
    if not {"icl", "ciwl"} <= set(trajectory.strategies):
        return None
    if trajectory.interpolant is None or len(trajectory.times) < 2:
        return landmarks(observe(trajectory, readout), exact=True)
    first, end = float(trajectory.times[0]), float(trajectory.times[-1])
    grid = np.union1d(trajectory.times, np.linspace(first, end, _SAMPLES))
    width = end / _SAMPLES
    for _ in range(_ROUNDS + 1):
        sampled = dataclasses.replace(
            trajectory, times=grid.copy(), states=trajectory(grid), interpolant=None
        )
        marks = landmarks(observe(sampled, readout), exact=True)
        located = [getattr(marks, name) for name in NAMES if name != "peak_flip"]
        centres = [mark.value / readout.sequences_per_time for mark in located if mark]
        if not centres:
            break
        near = [np.linspace(c - width, c + width, _POINTS) for c in centres]
        grid = np.union1d(grid, np.clip(np.concatenate(near), first, end))
        width *= 2 / _POINTS
    return marks


def cut_where_below(
    trajectory: Trajectory, stop_below: float, samples: Floats | None
) -> Trajectory:
    """The trajectory up to where its total loss first falls below; all of it if it never does."""
    end = _first_below(trajectory, stop_below)
    if end is None:
        end, status, at = float(trajectory.times[-1]), trajectory.status, None
    else:
        status, at = Status.STOPPED, end
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


def _first_below(trajectory: Trajectory, level: float) -> float | None:
    """The first time at which the total loss is at most the level, by Brent's method."""
    from scipy.optimize import brentq

    times = trajectory.times
    if len(times) < 2:
        return None

    def excess(t: Floats) -> Floats:
        return trajectory.outputs_of(trajectory(t))["total"] - level

    shares = np.linspace(0, 1, _WITHIN_STEP, endpoint=False)
    grid = np.append((times[:-1, None] + np.diff(times)[:, None] * shares).ravel(), times[-1])
    below = excess(grid) <= 0
    k = int(np.argmax(below))
    if not below[k] or k == 0:
        return float(grid[0]) if below[k] else None
    ends = float(grid[k - 1]), float(grid[k])
    last = float(times[-1])
    return float(brentq(lambda t: excess(np.array([t]))[0], *ends, xtol=_XTOL * last, rtol=1e-12))
