"""Landmarks and the end of a trajectory, located on its continuous solution."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..arrays import Array
from ..curves.landmarks import NAMES, Landmarks, landmarks
from .observation import observe
from .readout import SHARED_FLIP, Readout
from .trajectory import Status, Trajectory

_WITHIN_STEP = 4  # points a step at which the loss is compared with its threshold
_XTOL = 1e-9  # of the time at which the loss passes it, relative to the trajectory's length
_SAMPLES = 2000  # of the first grid for landmarks
_ROUNDS, _POINTS = 4, 40  # refinements of the grid around each landmark, and points of each


def landmarks_of(trajectory: Trajectory, readout: Readout = SHARED_FLIP) -> Landmarks | None:
    """The landmarks, in sequences, of the curves that a trajectory predicts; None without flip.

    They are found on a grid that is refined around each of them: every round narrows the gap by a
    factor of 20, to below 1e-8 of the horizon. Without an interpolant, as in descent, they are
    located by lines between the samples.
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
        windows = [np.linspace(c - width, c + width, _POINTS) for c in centres]
        grid = np.union1d(grid, np.clip(np.concatenate(windows), first, end))
        width *= 2 / _POINTS
    return marks


def cut_where_below(trajectory: Trajectory, stop_below: float, samples: Array | None) -> Trajectory:
    """The trajectory up to where its total loss first falls below; all of it if it never does."""
    stop = _first_below(trajectory, stop_below)
    end = float(trajectory.times[-1]) if stop is None else stop
    if samples is not None:
        times = samples[samples <= end]
        states, interpolant = trajectory(times), None
    else:
        before = trajectory.times < end
        times = np.append(trajectory.times[before], end)
        states = np.vstack([trajectory.states[before], trajectory(np.array([end]))])
        interpolant = trajectory.interpolant
    return dataclasses.replace(
        trajectory,
        times=times,
        states=states,
        interpolant=interpolant,
        status=trajectory.status if stop is None else Status.STOPPED,
        reached=end,
        stopped_at=stop,
    )


def _first_below(trajectory: Trajectory, level: float) -> float | None:
    """The first time at which the total loss is at most the level, by Brent's method."""
    from scipy.optimize import brentq

    times = trajectory.times
    if len(times) < 2:
        return None

    def excess(t: Array) -> Array:
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
