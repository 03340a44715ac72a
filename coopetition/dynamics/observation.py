"""From a trajectory to the curves that evaluators would measure along it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..curves.curve import Curve, Curves
from .readout import SHARED_FLIP, Key, Readout, predicted_keys, read
from .trajectory import Trajectory


def observe(
    trajectory: Trajectory,
    readout: Readout = SHARED_FLIP,
    *,
    keys: Iterable[Key] | None = None,
    run: str | None = None,
) -> Curves:
    """The curves that evaluators would measure along a trajectory.

    Parameters
    ----------
    trajectory
        An integration's result; its times are dimensionless.
    readout
        Gains, offsets, scales and the rate that turns time into sequences.
    keys
        Which curves, ``(evaluator, metric)``; by default all that the model predicts.
    run
        The run's name; by default the model's.

    Returns
    -------
    Curves
        With the trajectory's notes, and why it ended if that was before its horizon.

    Raises
    ------
    ValueError
        If the model does not predict one of the curves.
    """
    strategies = trajectory.strategies
    sequences = readout.sequences_per_time * trajectory.times
    curves = {
        key: Curve(
            evaluator=key[0],
            metric=key[1],
            sequences=sequences,
            values=read(key, trajectory.outputs, strategies, readout).value,
        )
        for key in (predicted_keys(strategies) if keys is None else keys)
    }
    source = {
        "model": trajectory.ode.name,
        "parameters": dict(trajectory.parameters),
        "readout": dataclasses.asdict(readout),
    }
    notes = list(trajectory.notes)
    if not trajectory.status.ok:
        notes.append(
            f"the curves end at time {trajectory.reached:g} of {trajectory.horizon:g}: "
            f"{trajectory.status.explanation}"
        )
    return Curves(run=run or trajectory.ode.name, curves=curves, source=source, notes=tuple(notes))
