"""Plots of proposals: probability against cost, and the boundary of persistent ICL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .style import COLOURS, Array, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from ...proposal import Boundary, Proposals

TICKS = 5  # most on a logarithmic axis, so that labels do not overlap


def plot_boundary(boundary: Boundary, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Probability of persistent ICL over two settings, with its contours and the base."""
    ax = new_axes(ax)
    x, y = boundary.first_values, boundary.second_values
    shades = ax.pcolormesh(
        x, y, boundary.persistent.T, vmin=0, vmax=1, cmap="RdBu", shading="nearest"
    )
    if len(x) > 1 and len(y) > 1:
        style = {"colors": "black", "linewidths": 1.0, **line_kws}
        least, most = np.min(boundary.persistent), np.max(boundary.persistent)
        levels = [level for level in (0.2, 0.5, 0.8) if least < level < most]
        if levels:
            ax.clabel(ax.contour(x, y, boundary.persistent.T, levels=levels, **style))
    star: dict[str, Any] = {"color": "gold", "markeredgecolor": "black", "markersize": 14}
    ax.plot(*boundary.base, "*", **star, label="base")
    ax.set(
        xlabel=boundary.first.setting,
        ylabel=boundary.second.setting,
        title=f"ICL persistent at {boundary.budget:,.0f} sequences",
    )
    if boundary.first.log:
        ax.set_xscale("log")
        _set_ticks(ax.xaxis, x)
    if boundary.second.log:
        ax.set_yscale("log")
        _set_ticks(ax.yaxis, y)
    ax.legend(framealpha=0.8)
    ax.figure.colorbar(shades, ax=ax, label="probability")
    return ax


def _set_ticks(axis: Axis, values: Array) -> None:
    """Ticks at some of the values only, because matplotlib's own labels would overlap."""
    from matplotlib.ticker import NullLocator

    ticks = values[:: max(1, -(-(len(values) - 1) // (TICKS - 1)))]
    axis.set_ticks(ticks, labels=[f"{value:g}" for value in ticks])
    axis.set_minor_locator(NullLocator())


def plot_frontier(proposals: Proposals, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Probability of persistent ICL against cost: all candidates, and the best at each cost."""
    ax = new_axes(ax)
    cost = [one.candidate.cost for one in proposals.screened]
    chance = [one.persistent for one in proposals.screened]
    ax.scatter(cost, chance, s=8, color="0.7", label="candidates")
    best = proposals.frontier
    style = {"color": COLOURS["icl"], "drawstyle": "steps-post", "label": "frontier", **line_kws}
    ax.plot([b.candidate.cost for b in best], [b.persistent for b in best], **style)
    ax.axhline(proposals.sure, color="0.4", linestyle=":", linewidth=1, label="suffices")
    stars = [(one.cost, one.probability_persistent) for one in proposals.proposals]
    ax.plot(*np.reshape(stars, (-1, 2)).T, "*", color=COLOURS["flip"], label="proposals")
    ax.set(xlabel="cost of the changes", ylabel="probability that ICL persists", ylim=(0, 1))
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return ax
