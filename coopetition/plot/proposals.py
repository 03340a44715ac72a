"""Pictures of proposals: predicted curves, the price of probability, the boundary of ICL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..readout import ACCURACY
from .style import COLOURS, MILLION, OTHER, accuracy_axis, colour, new_axes, sequences_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..curves import Curves
    from ..forecasting import Forecast
    from ..proposal import Boundary, Proposals


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
    ax.plot(*boundary.base, marker="*", color="gold", markeredgecolor="black", markersize=14)
    ax.set(
        xlabel=boundary.first.setting,
        ylabel=boundary.second.setting,
        title=f"ICL persistent at {boundary.budget:,.0f} sequences",
    )
    if boundary.first.log:
        ax.set_xscale("log")
    if boundary.second.log:
        ax.set_yscale("log")
    ax.figure.colorbar(shades, ax=ax, label="probability")
    return ax


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
    ax.axhline(proposals.sure, color="0.4", linestyle=":", linewidth=1)
    for proposal in proposals.proposals:
        ax.plot(proposal.cost, proposal.probability_persistent, "*", color=COLOURS["flip"])
    ax.set(xlabel="cost of the changes", ylabel="probability that ICL persists", ylim=(0, 1))
    ax.legend(frameon=False)
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
    ax = new_axes(ax)
    x = forecast.sequences / MILLION
    for evaluator, band in forecast.bands.items():
        tone = colour(evaluator)
        ax.plot(x, band.median, **{"color": tone, "label": evaluator, **line_kws})
        ax.fill_between(x, band.lower, band.upper, color=tone, alpha=0.15, linewidth=0)
    for (evaluator, metric), came in ({} if measured is None else measured.curves).items():
        if metric == ACCURACY and evaluator in forecast.bands:
            seen = came.until(forecast.horizon)
            ax.plot(seen.sequences / MILLION, seen.values, ".", color=OTHER, markersize=1.5)
    if forecast.until:
        ax.axvline(forecast.until / MILLION, color=OTHER, linewidth=0.8, linestyle="--")
    sequences_axis(ax)
    accuracy_axis(ax)
    ax.legend(frameon=False)
    return ax
