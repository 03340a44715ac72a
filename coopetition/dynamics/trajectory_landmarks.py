"""Landmarks of a trajectory, located on its continuous solution."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..curves.landmarks import NAMES, Landmarks, landmarks
from .readout import SHARED_FLIP, Readout, observe
from .trajectory import Floats, Trajectory

_SAMPLES = 2000
_ROUNDS, _POINTS = 4, 40


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
    end = float(trajectory.times[-1])
    grid = np.union1d(trajectory.times, np.linspace(trajectory.times[0], end, _SAMPLES))
    width = end / _SAMPLES
    found = _on_grid(trajectory, grid, readout)
    for _ in range(_ROUNDS):
        marks = [getattr(found, name) for name in NAMES if name != "peak_flip"]
        centres = [mark.value / readout.sequences_per_time for mark in marks if mark]
        if not centres:
            break
        near = np.concatenate([np.linspace(c - width, c + width, _POINTS) for c in centres])
        grid = np.union1d(grid, np.clip(near, trajectory.times[0], end))
        width *= 2 / _POINTS
        found = _on_grid(trajectory, grid, readout)
    return found


def _on_grid(trajectory: Trajectory, grid: Floats, readout: Readout) -> Landmarks:
    sampled = dataclasses.replace(
        trajectory, times=grid.copy(), states=trajectory(grid), interpolant=None
    )
    return landmarks(observe(sampled, readout), exact=True)
