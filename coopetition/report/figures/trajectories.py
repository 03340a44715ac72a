"""Pictures of toy models: losses and accuracies of a trajectory, phase diagrams.

Axes-level functions draw on the axes they are given (or new ones) and return them; figures put
several together. Nothing is shown or saved here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...dynamics.readout import SHARED_FLIP, Readout, observe
from .style import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...dynamics.phase import Phase
    from ...dynamics.trajectory import Floats, Trajectory

_SAMPLES = 2000
_MOST = 20_000  # points of a sampled trajectory that a picture can show
_SMALLEST_LOSS = 1e-12


def _dense(trajectory: Trajectory) -> tuple[Floats, Floats]:
    """Times close enough for a smooth line, and the states there."""
    if trajectory.interpolant is None:
        stride = 1 + len(trajectory.times) // _MOST
        kept = np.union1d(np.arange(0, len(trajectory.times), stride), len(trajectory.times) - 1)
        return trajectory.times[kept], trajectory.states[kept]
    grid = np.linspace(trajectory.times[0], trajectory.times[-1], _SAMPLES)
    times = np.union1d(trajectory.times, grid)
    return times, trajectory(times)


def plot_losses(trajectory: Trajectory, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Losses without floors and the cost against time, on a logarithmic scale.

    Parameters
    ----------
    trajectory
        What was integrated.
    ax
        Where to draw; new axes when None.
    **line_kws
        Passed on to `Axes.plot`.
    """
    ax = new_axes(ax)
    times, states = _dense(trajectory)
    outputs = trajectory.outputs_of(states)
    for name in ("total", *trajectory.strategies, "cost"):
        style = {"color": COLOURS.get(name), "label": name, **line_kws}
        ax.plot(times, np.maximum(outputs[name], _SMALLEST_LOSS), **style)
    ax.set(xlabel="time (step size × step)", ylabel="loss without floor", yscale="log")
    ax.legend(frameon=False)
    return ax


def plot_strengths(trajectory: Trajectory, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Each strategy's strength (normalised overlap, 1 at the target) against time."""
    ax = new_axes(ax)
    times, states = _dense(trajectory)
    outputs = trajectory.outputs_of(states)
    for name in trajectory.strategies:
        style = {"color": COLOURS.get(name), "label": name, **line_kws}
        ax.plot(times, outputs[f"{name}_strength"], **style)
    ax.set(xlabel="time (step size × step)", ylabel="strength")
    ax.legend(frameon=False)
    return ax


def plot_accuracies(
    trajectory: Trajectory,
    readout: Readout = SHARED_FLIP,
    *,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """The accuracies that evaluators would read, against time."""
    import dataclasses

    ax = new_axes(ax)
    times, states = _dense(trajectory)
    dense = dataclasses.replace(
        trajectory, times=times.copy(), states=states.copy(), interpolant=None
    )
    for curve in observe(dense, readout):
        if curve.metric == "in_context_acc":
            style = {"color": COLOURS.get(curve.evaluator), "label": curve.evaluator, **line_kws}
            ax.plot(curve.sequences, curve.values, **style)
    ax.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel="time (step size × step)", ylabel="accuracy among labels in context")
    ax.set_ylim(-0.02, 1.02)
    ax.legend(frameon=False)
    return ax


def trajectory_figure(trajectory: Trajectory, readout: Readout = SHARED_FLIP) -> Figure:
    """Losses, strengths and accuracies of a trajectory, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.6), layout="constrained")
    losses, strengths, accuracies = figure.subplots(1, 3)
    plot_losses(trajectory, ax=losses)
    plot_strengths(trajectory, ax=strengths)
    plot_accuracies(trajectory, readout, ax=accuracies)
    figure.suptitle(f"{trajectory.model} by {trajectory.method}")
    return figure


def plot_phase(
    result: Phase, measure: str = "persistent", *, ax: Axes | None = None, **image_kws: Any
) -> Axes:
    """One measure over the grid: a line for one axis, a map for two.

    Parameters
    ----------
    result
        A phase diagram over one or two axes.
    measure
        One of `phase.MEASURES`.
    ax
        Where to draw.
    **image_kws
        Passed on to `Axes.plot` or `Axes.pcolormesh`.

    Raises
    ------
    ValueError
        If there are more than two axes or the measure is unknown.
    """
    from ...errors import unknown_name

    if measure not in result.measures:
        raise unknown_name("measure", measure, result.measures)
    if len(result.axes) > 2:
        raise ValueError(f"a phase diagram of {len(result.axes)} axes cannot be drawn; fix some")
    ax = new_axes(ax)
    values = result.measures[measure]
    label = measure if measure not in ("persistent", "transient", "never") else f"share {measure}"
    names = list(result.axes)
    if len(names) == 1:
        along = result.axes[names[0]]
        ax.plot(along, values, **{"color": COLOURS["icl"], **image_kws})
        # the whole axis, also where there is nothing to draw: a time of what does not happen
        ax.update_datalim(np.column_stack([along, along]), updatey=False)
        ax.set(xlabel=names[0], ylabel=label, xscale=_scale(along))
        return ax
    first, second = names
    shown = np.where(np.isfinite(values), values, np.nan)
    mesh = ax.pcolormesh(
        result.axes[first], result.axes[second], shown.T, **{"shading": "nearest", **image_kws}
    )
    ax.figure.colorbar(mesh, ax=ax, label=label)
    ax.set(xlabel=first, ylabel=second)
    ax.set_xscale(_scale(result.axes[first]))
    ax.set_yscale(_scale(result.axes[second]))
    return ax


def _scale(values: Floats) -> str:
    """Logarithmic where the values were spaced so, over a decade: less has no room for labels."""
    if len(values) < 3 or np.min(values) <= 0 or np.max(values) < 10 * np.min(values):
        return "linear"
    ratios = np.diff(np.log(values))
    return "log" if np.allclose(ratios, ratios[0]) else "linear"


def phase_figure(result: Phase) -> Figure:
    """Shares of the verdicts and the time at which ICL vanishes, over the grid."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.6), layout="constrained")
    shown = ("persistent", "transient", "vanishing")
    for measure, ax in zip(shown, figure.subplots(1, 3), strict=True):
        limits = {"vmin": 0.0, "vmax": 1.0} if measure != "vanishing" else {}
        plot_phase(result, measure, ax=ax, **(limits if len(result.axes) == 2 else {}))
    figure.suptitle(
        f"{result.model} to time {result.horizon:g}, {result.starts} starts at each point"
    )
    return figure
