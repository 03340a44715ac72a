"""Plots of curves against sequences: those of a run, and forecasts with bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...dynamics.readout import ACCURACY
from .style import (
    MILLION,
    OTHER,
    Array,
    accuracy_axis,
    colour,
    draw_band,
    draw_end,
    new_axes,
    sequences_axis,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ...curves.curve import Curves
    from ...forecasting import Forecast


def plot_curves(
    curves: Curves, *, metric: str = ACCURACY, ax: Axes | None = None, **line_kws: Any
) -> Axes:
    """A run's curves of one metric against sequences; `ValueError` if it has none."""
    selected = [curve for curve in curves if curve.metric == metric]
    if not selected:
        metrics = ", ".join(sorted({curve.metric for curve in curves})) or "none"
        raise ValueError(f"run {curves.run} has no curve of metric {metric!r} (it has {metrics})")
    ax = new_axes(ax)
    for curve in selected:
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


def plot_forecast(
    forecast: Forecast,
    *,
    measured: Curves | None = None,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """Predicted accuracies with their bands against training sequences.

    Accuracies of ``measured``, the run itself, are drawn up to the horizon as grey points; a dashed
    line marks the end of the log that was used.
    """
    points = {
        evaluator: (part.sequences, part.values)
        for (evaluator, metric), curve in ({} if measured is None else measured.curves).items()
        if metric == ACCURACY and len(part := curve.until(forecast.horizon))
    }
    until = forecast.until or None
    return plot_bands(forecast.to_table(), measured=points, until=until, ax=ax, **line_kws)


def plot_bands(
    table: pd.DataFrame,
    *,
    measured: Mapping[str, tuple[Array, Array]] | None = None,
    until: float | None = None,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """Accuracies with their bands from a table, such as a forecast's on disk.

    The table has columns ``evaluator, metric, sequences, value, lower, upper``; ``measured`` holds
    sequences and values by evaluator, drawn as grey points; a dashed line at ``until`` marks the
    end of the log that was used.
    """
    ax = new_axes(ax)
    points = measured or {}
    accuracies = table[table["metric"] == ACCURACY]
    for name, rows in accuracies.groupby("evaluator", sort=False):
        evaluator, x = str(name), rows["sequences"] / MILLION
        style = {"color": colour(evaluator), "label": evaluator, **line_kws}
        ax.plot(x, rows["value"], **style)
        draw_band(ax, colour(evaluator), x, rows["lower"], rows["upper"])
        if evaluator in points:
            sequences, values = points[evaluator]
            ax.plot(sequences / MILLION, values, ".", color=OTHER, markersize=1.5)
    if until is not None:
        draw_end(ax, until)
    sequences_axis(ax)
    accuracy_axis(ax)
    ax.legend(frameon=False)
    return ax
