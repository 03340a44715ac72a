"""Plots of curves, and of strategies' strengths against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import ACCURACY
from ...dynamics.trajectory import Trajectory
from ...fitting import Fit
from .style import MILLION, OTHER, accuracy_axis, colour, new_axes, sequences_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...curves.curve import Curves

_POINTS = 1000  # of a fitted trajectory


def plot_curves(
    curves: Curves, *, metric: str = ACCURACY, ax: Axes | None = None, **line_kws: Any
) -> Axes:
    """A run's curves of one metric against sequences.

    Parameters
    ----------
    curves
        The run.
    metric
        ``in_context_acc``, ``loss``, ….
    ax
        Axes to draw on; a new figure's when None.
    **line_kws
        Passed to the lines.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the run has no curve of that metric.
    """
    own = [curve for curve in curves if curve.metric == metric]
    if not own:
        have = ", ".join(sorted({curve.metric for curve in curves})) or "none"
        raise ValueError(f"run {curves.run} has no curve of metric {metric!r} (it has {have})")
    ax = new_axes(ax)
    for curve in own:
        style = {"color": colour(curve.evaluator), "label": curve.evaluator, **line_kws}
        ax.plot(curve.sequences / MILLION, curve.values, **style)
    sequences_axis(ax)
    if metric == ACCURACY:
        accuracy_axis(ax)
    else:
        ax.set_ylabel(f"{metric} (nats)" if metric == "loss" else metric)
    ax.set_title(curves.run, fontsize="medium")
    ax.legend(fontsize="small", frameon=False)
    return ax


def plot_phase(
    results: Fit | Trajectory | Iterable[Fit | Trajectory],
    *,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """The phase of strengths: ICL's against CIWL's, each path from its dot to its cross.

    Parameters
    ----------
    results
        Fits or trajectories, one or more, of models with the strategies ``icl`` and ``ciwl``.
    ax
        Axes to draw on; a new figure's when None.
    **line_kws
        Passed to the paths.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If a model has not both strategies.
    """
    given = [results] if isinstance(results, Fit | Trajectory) else list(results)
    paths = [_strengths(result) for result in given]
    for path in paths:
        if not {"icl", "ciwl"} <= set(path):
            raise ValueError(
                f"a model with the strategies {', '.join(path)} has no phase of icl and ciwl"
            )
    ax = new_axes(ax)
    for path in paths:
        (line,) = ax.plot(
            path["ciwl"], path["icl"], **{"color": OTHER, "linewidth": 1.2, **line_kws}
        )
        for at, marker in ((0, "o"), (-1, "x")):
            ax.plot(path["ciwl"][at], path["icl"][at], marker, color=line.get_color(), markersize=5)
    ax.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xlabel("CIWL strength (1 at the target)", color=colour("ciwl"))
    ax.set_ylabel("ICL strength (1 at the target)", color=colour("icl"))
    return ax


def _strengths(result: Fit | Trajectory) -> Mapping[str, NDArray[np.float64]]:
    if isinstance(result, Fit):
        data = result.measurements
        return result.strengths(np.linspace(data.origin, data.sequences[-1], _POINTS))
    return {name: result.output(f"{name}_strength") for name in result.strategies}
