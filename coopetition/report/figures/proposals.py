"""Pictures of proposals: predicted curves, the price of probability, the boundary of ICL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import ACCURACY
from .style import COLOURS, MILLION, OTHER, accuracy_axis, colour, new_axes, sequences_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from ...curves.curve import Curves
    from ...forecasting import Forecast
    from ...proposal import Boundary, Proposals

Array = NDArray[np.float64]
TICKS = 5  # most of a logarithmic axis, so that their labels stay apart


def plot_boundary(boundary: Boundary, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Probability of persistent ICL over two settings, with its contours and the base.

    Parameters
    ----------
    boundary
        From `coopetition.proposal.boundary`.
    ax
        Where to draw; new axes when None.
    **line_kws
        Passed on to `Axes.contour`.
    """
    ax = new_axes(ax)
    x, y = boundary.first_values, boundary.second_values
    shades = ax.pcolormesh(
        x, y, boundary.persistent.T, vmin=0, vmax=1, cmap="RdBu", shading="nearest"
    )
    if len(x) > 1 and len(y) > 1:
        style = {"colors": "black", "linewidths": 1.0, **line_kws}
        levels = [one for one in (0.2, 0.5, 0.8) if _crossed(boundary.persistent, one)]
        if levels:
            ax.clabel(ax.contour(x, y, boundary.persistent.T, levels=levels, **style))
    star: dict[str, Any] = {
        "marker": "*",
        "color": "gold",
        "markeredgecolor": "black",
        "markersize": 14,
    }
    ax.plot(*boundary.base, **star, linestyle="none", label="base")
    ax.set(
        xlabel=boundary.first.setting,
        ylabel=boundary.second.setting,
        title=f"ICL persistent at {boundary.budget:,.0f} sequences",
    )
    if boundary.first.log:
        ax.set_xscale("log")
        _mark(ax.xaxis, x)
    if boundary.second.log:
        ax.set_yscale("log")
        _mark(ax.yaxis, y)
    ax.legend(framealpha=0.8)
    ax.figure.colorbar(shades, ax=ax, label="probability")
    return ax


def _mark(axis: Axis, values: Array) -> None:
    """Ticks at some of the values alone: those of a scale of powers of 10 run into each other."""
    from matplotlib.ticker import NullLocator

    shown = values[:: max(1, -(-(len(values) - 1) // (TICKS - 1)))]
    axis.set_ticks(shown, labels=[f"{value:g}" for value in shown])
    axis.set_minor_locator(NullLocator())


def _crossed(values: np.ndarray[Any, Any], level: float) -> bool:
    return bool(np.min(values) < level < np.max(values))


def plot_frontier(proposals: Proposals, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Probability of persistent ICL against cost: all candidates, and the best at each cost.

    Parameters
    ----------
    proposals
        From `coopetition.proposal.propose`.
    ax
        Where to draw; new axes when None.
    **line_kws
        Of the frontier, passed on to `Axes.plot`.
    """
    ax = new_axes(ax)
    cost = [one.candidate.cost for one in proposals.screened]
    chance = [one.persistent for one in proposals.screened]
    ax.scatter(cost, chance, s=8, color="0.7", label="candidates")
    best = proposals.frontier
    style = {"color": COLOURS["icl"], "drawstyle": "steps-post", "label": "frontier", **line_kws}
    ax.plot([b.candidate.cost for b in best], [b.persistent for b in best], **style)
    ax.axhline(proposals.sure, color="0.4", linestyle=":", linewidth=1, label="suffices")
    made = proposals.proposals
    where = [one.cost for one in made], [one.probability_persistent for one in made]
    ax.plot(*where, "*", color=COLOURS["flip"], label="proposals")
    ax.set(xlabel="cost of the changes", ylabel="probability that ICL persists", ylim=(0, 1))
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return ax


def plot_forecast(
    forecast: Forecast,
    *,
    measured: Curves | None = None,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """Predicted accuracies with their bands against training sequences, and what came.

    Parameters
    ----------
    forecast
        Of a proposal, or of any run. A dashed line marks the end of the log it saw.
    measured
        The run itself: its accuracies up to the horizon are drawn as grey points.
    ax
        Where to draw; new axes when None.
    **line_kws
        Of the medians, passed on to `Axes.plot`.
    """
    seen = {
        evaluator: (came.sequences, came.values)
        for (evaluator, metric), curve in ({} if measured is None else measured.curves).items()
        if metric == ACCURACY and len(came := curve.until(forecast.horizon))
    }
    until = forecast.until or None
    return plot_bands(forecast.to_table(), measured=seen, until=until, ax=ax, **line_kws)


def plot_bands(
    table: pd.DataFrame,
    *,
    measured: Mapping[str, tuple[Array, Array]] | None = None,
    until: float | None = None,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """Accuracies in their bands from a table, such as a forecast leaves on disk.

    Parameters
    ----------
    table
        With columns ``evaluator, metric, sequences, value, lower, upper``.
    measured
        Sequences and values of evaluators, drawn as grey points.
    until
        Where a dashed line marks the end of the log that was seen.
    ax
        Where to draw; new axes when None.
    **line_kws
        Of the medians, passed on to `Axes.plot`.
    """
    ax = new_axes(ax)
    accuracies = table[table["metric"] == ACCURACY]
    for name, rows in accuracies.groupby("evaluator", sort=False):
        evaluator, x = str(name), rows["sequences"] / MILLION
        tone = colour(evaluator)
        ax.plot(x, rows["value"], **{"color": tone, "label": evaluator, **line_kws})
        ax.fill_between(x, rows["lower"], rows["upper"], color=tone, alpha=0.15, linewidth=0)
        if evaluator in (measured or {}):
            came, values = (measured or {})[evaluator]
            ax.plot(came / MILLION, values, ".", color=OTHER, markersize=1.5)
    if until is not None:
        ax.axvline(until / MILLION, color=OTHER, linewidth=0.8, linestyle="--")
    sequences_axis(ax)
    accuracy_axis(ax)
    ax.legend(frameon=False)
    return ax
