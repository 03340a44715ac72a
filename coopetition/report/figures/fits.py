"""Plots of fits: curves over data, residuals, the waterfall of starts, profile likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...fitting.profiles import THRESHOLD
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...fitting import Fit, Prediction, Profile
    from ...forecasting import Forecast


def plot_fit(
    fit: Fit,
    *,
    prediction: Prediction | None = None,
    forecast: Forecast | None = None,
    ax: Axes | None = None,
    **line_kws: Any,
) -> Axes:
    """Measured accuracies as points, fitted ones as lines, predicted ones as dashes in 90 % bands.

    ``prediction`` is that of `predict`, from the log alone; ``forecast``, from a population of
    runs, replaces it. Losses are left out.
    """
    ax = new_axes(ax)
    data = fit.measurements
    fitted = fit.predict()
    for target in data.targets:
        name, metric = target.key
        if metric == "loss":
            continue
        tone = colour(name)
        points: dict[str, Any] = {"color": tone, "alpha": 0.35, "markersize": 3}
        ax.plot(data.sequences[target.at] / MILLION, target.values, ".", **points)
        curve = fitted.curves[target.key]
        style = {"color": tone, "label": f"{name} (rmse {fit.rmse[name]:.3f})", **line_kws}
        ax.plot(curve.sequences / MILLION, curve.values, **style)
        if forecast is not None and name in forecast.bands:
            band, ahead = forecast.bands[name], forecast.sequences >= data.sequences[-1]
            edges = (band.median[ahead], band.lower[ahead], band.upper[ahead])
            _draw_ahead(ax, tone, forecast.sequences[ahead], *edges)
        elif forecast is None and prediction is not None and target.key in prediction.lower:
            grid = prediction.curves.curves[target.key]
            edges = (grid.values, prediction.lower[target.key], prediction.upper[target.key])
            _draw_ahead(ax, tone, grid.sequences, *edges)
    title = f"{fit.model.name} fitted to {fit.run}"
    if forecast is not None:
        title += ", and its forecast from other runs"
    if prediction is not None or forecast is not None:
        draw_end(ax, data.sequences[-1])
    sequences_axis(ax)
    accuracy_axis(ax)
    # a row between title and axes: curves from 0 to 1 leave no corner free
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(data.targets), fontsize="small",
        frameon=False, columnspacing=1.2, handlelength=1.4,
    )  # fmt: skip
    ax.set_title(title, fontsize="medium", pad=25.0)
    return ax


def _draw_ahead(ax: Axes, tone: str, x: Array, median: Array, lower: Array, upper: Array) -> None:
    """A prediction beyond the log's end: dashes in a band."""
    draw_band(ax, tone, x / MILLION, lower, upper)
    ax.plot(x / MILLION, median, color=tone, linestyle="--", linewidth=0.8)


def plot_residuals(fit: Fit, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """Measured minus fitted accuracies, with the band that the weights assume (one σ)."""
    ax = new_axes(ax)
    data = fit.measurements
    fitted = fit.predict()
    band = 0.0
    for target in data.targets:
        name, metric = target.key
        if metric == "loss":
            continue
        misses = target.values - fitted.curves[target.key].values[target.at]
        style = {"color": colour(name), "linewidth": 0.8, "label": name, **line_kws}
        ax.plot(data.sequences[target.at] / MILLION, misses, **style)
        band = max(band, float(np.median(target.sigma)))
    ax.axhspan(-band, band, color=OTHER, alpha=0.12, linewidth=0)
    ax.axhline(0.0, color=OTHER, linewidth=0.7)
    sequences_axis(ax)
    ax.set_ylabel("measured − fitted (share)")
    return ax


def plot_waterfall(fit: Fit, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """χ² of every start above the best, in order; plateaus are optima found more than once."""
    ax = new_axes(ax)
    costs = np.array([start.cost for start in fit.starts])
    style = {"color": "black", "marker": "o", "markersize": 4, "linewidth": 0.8, **line_kws}
    ax.plot(np.arange(1, len(costs) + 1), 1.0 + costs - costs[0], **style)
    ax.set_yscale("log")
    ax.set_xlabel("start (rank)")
    ax.set_ylabel("1 + χ² − best χ²")
    return ax


def plot_profile(profile: Profile, *, ax: Axes | None = None, **line_kws: Any) -> Axes:
    """One profile likelihood with its 95 % threshold and verdict."""
    ax = new_axes(ax)
    style = {"color": "black", "marker": ".", **line_kws}
    ax.plot(profile.values, profile.rise, **style)
    ax.axhline(THRESHOLD, color=OTHER, linestyle="--", linewidth=0.8)
    for end in (profile.lower, profile.upper):
        if end is not None:
            ax.axvline(end, color=OTHER, linewidth=0.7, linestyle=":")
    if np.all(profile.values > 0):
        ax.set_xscale("log")
    ax.set_ylim(-0.2, 2.0 * THRESHOLD)
    ax.set_xlabel(f"{profile.name} (model units)")
    ax.set_ylabel("growth of χ² (3.84 = 95 %)")
    ax.set_title(profile.verdict, fontsize="small")
    return ax


def fit_figure(
    fit: Fit, prediction: Prediction | None = None, forecast: Forecast | None = None
) -> Figure:
    """Fit over data, residuals below it, the waterfall of starts beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(3, 1))
    above: Axes = figure.add_subplot(grid[0, 0])
    plot_fit(fit, prediction=prediction, forecast=forecast, ax=above)
    plot_residuals(fit, ax=figure.add_subplot(grid[1, 0], sharex=above))
    plot_waterfall(fit, ax=figure.add_subplot(grid[:, 1]))
    return figure
