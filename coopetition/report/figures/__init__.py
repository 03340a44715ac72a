"""Plots: each takes a result, draws on axes and returns them; nothing is shown or saved.

``ax`` are the axes to draw on, new ones when None; other keywords go to the plot's lines, contours
or image. A ``…_figure`` puts several plots together.
"""

from .curves import plot_bands, plot_curves, plot_forecast
from .fits import fit_figure, plot_fit, plot_profile, plot_residuals, plot_waterfall
from .proposals import plot_boundary, plot_frontier
from .trajectories import (
    phase_figure,
    plot_accuracies,
    plot_losses,
    plot_phase,
    plot_strengths,
    trajectory_figure,
)

__all__ = [
    "fit_figure",
    "phase_figure",
    "plot_accuracies",
    "plot_bands",
    "plot_boundary",
    "plot_curves",
    "plot_fit",
    "plot_forecast",
    "plot_frontier",
    "plot_losses",
    "plot_phase",
    "plot_profile",
    "plot_residuals",
    "plot_strengths",
    "plot_waterfall",
    "trajectory_figure",
]
