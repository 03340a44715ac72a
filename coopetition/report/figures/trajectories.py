"""Plots of toy models: a trajectory's losses, strengths and accuracies, and phase diagrams."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...dynamics.observation import observe
from ...dynamics.readout import ACCURACY, SHARED_FLIP, Readout
from ...dynamics.trajectory import Trajectory
from ...errors import unknown_name
from ...fitting import Fit
from .style import COLOURS, OTHER, Array, colour, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...dynamics.phase import Phase

_SAMPLES = 2000
_MOST = 20_000  # points of a sampled trajectory that a picture can show
_FIT_POINTS = 1000  # of a fitted trajectory
_SMALLEST_LOSS = 1e-12
_TIME = "time (step size × step)"


def _dense(trajectory: Trajectory) -> Trajectory:
    """The trajectory at times that make a smooth line."""
    if trajectory.interpolant is None:
        count = len(trajectory.times)
        indices = np.union1d(np.arange(0, count, 1 + count // _MOST), count - 1)
        times, states = trajectory.times[indices], trajectory.states[indices]
    else:
        grid = np.linspace(trajectory.times[0], trajectory.times[-1], _SAMPLES)
        times = np.union1d(trajectory.times, grid)
        states = trajectory(times)
    return dataclasses.replace(trajectory, times=times, states=states, interpolant=None)


def _plot_against_time(
    curves: Mapping[str, tuple[Array, Array]], ylabel: str, ax: Axes | None, line_kws: Any
) -> Axes:
    """Plot curves of times and values, each in its colour."""
    ax = new_axes(ax)
    for name, (times, values) in curves.items():
        ax.plot(times, values, **{"color": COLOURS.get(name), "label": name, **line_kws})
    ax.set(xlabel=_TIME, ylabel=ylabel)
    ax.legend(frameon=False)
    return ax


def plot_losses(trajectory: Trajectory, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Losses without floors, and the cost, against time on a logarithmic scale."""
    dense = _dense(trajectory)
    curves = {
        name: (dense.times, np.maximum(dense.outputs[name], _SMALLEST_LOSS))
        for name in ("total", *trajectory.strategies, "cost")
    }
    ax = _plot_against_time(curves, "loss without floor", ax, line_kws)
    ax.set_yscale("log")
    return ax


def plot_strengths(trajectory: Trajectory, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Each strategy's strength (normalised overlap, 1 at the target) against time."""
    dense = _dense(trajectory)
    names = trajectory.strategies
    curves = {name: (dense.times, dense.outputs[f"{name}_strength"]) for name in names}
    return _plot_against_time(curves, "strength", ax, line_kws)


def plot_accuracies(
    trajectory: Trajectory,
    readout: Readout = SHARED_FLIP,
    *,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """The accuracies that evaluators would measure, against time."""
    curves = {
        curve.evaluator: (curve.sequences, curve.values)
        for curve in observe(_dense(trajectory), readout)
        if curve.metric == ACCURACY
    }
    ax = _plot_against_time(curves, "accuracy among labels in context", ax, line_kws)
    ax.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    ax.set_ylim(-0.02, 1.02)
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
    results: Fit | Trajectory | Iterable[Fit | Trajectory],
    *,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """ICL's strength against CIWL's, each path from its dot to its cross.

    Takes fits or trajectories; a `ValueError` refuses models without both ``icl`` and ``ciwl``.
    """
    several = [results] if isinstance(results, Fit | Trajectory) else results
    paths = [_strengths(result) for result in several]
    for path in paths:
        if not {"icl", "ciwl"} <= set(path):
            raise ValueError(
                f"a model with the strategies {', '.join(path)} has no phase of icl and ciwl"
            )
    ax = new_axes(ax)
    for path in paths:
        style = {"color": OTHER, "linewidth": 1.2, **line_kws}
        (line,) = ax.plot(path["ciwl"], path["icl"], **style)
        for end, marker in ((0, "o"), (-1, "x")):
            x, y = path["ciwl"][end], path["icl"][end]
            ax.plot(x, y, marker, color=line.get_color(), markersize=5)
    ax.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xlabel("CIWL strength (1 at the target)", color=colour("ciwl"))
    ax.set_ylabel("ICL strength (1 at the target)", color=colour("icl"))
    return ax


def _strengths(result: Fit | Trajectory) -> Mapping[str, Array]:
    if isinstance(result, Fit):
        data = result.measurements
        return result.strengths(np.linspace(data.origin, data.sequences[-1], _FIT_POINTS))
    return {name: result.output(f"{name}_strength") for name in result.strategies}


def plot_diagram(
    result: Phase, measure: str = "persistent", *, ax: Axes | None = None, **image_kws: Any
) -> Axes:
    """One of `phase.MEASURES` over the grid: a line for one axis, a map for two.

    A `ValueError` refuses more axes and unknown measures.
    """
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
        # the whole axis, also where a landmark has no time because it does not occur
        ax.update_datalim(np.column_stack([along, along]), updatey=False)
        ax.set(xlabel=names[0], ylabel=label, xscale=_scale(along))
        return ax
    first, second = names
    finite = np.where(np.isfinite(values), values, np.nan)
    mesh = ax.pcolormesh(
        result.axes[first], result.axes[second], finite.T, **{"shading": "nearest", **image_kws}
    )
    ax.figure.colorbar(mesh, ax=ax, label=label)
    ax.set(xlabel=first, ylabel=second)
    ax.set_xscale(_scale(result.axes[first]))
    ax.set_yscale(_scale(result.axes[second]))
    return ax


def _scale(values: Array) -> str:
    """Logarithmic for values with equal ratios over at least a decade, so that labels fit."""
    if len(values) < 3 or np.min(values) <= 0 or np.max(values) < 10 * np.min(values):
        return "linear"
    ratios = np.diff(np.log(values))
    return "log" if np.allclose(ratios, ratios[0]) else "linear"


def phase_figure(result: Phase) -> Figure:
    """Shares of verdicts, and the time at which ICL vanishes, over the grid."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.6), layout="constrained")
    measures = ("persistent", "transient", "vanishing")
    for measure, ax in zip(measures, figure.subplots(1, 3), strict=True):
        limits = {"vmin": 0.0, "vmax": 1.0} if measure != "vanishing" else {}
        plot_diagram(result, measure, ax=ax, **(limits if len(result.axes) == 2 else {}))
    figure.suptitle(
        f"{result.model} to time {result.horizon:g}, {result.starts} starts at each point"
    )
    return figure
