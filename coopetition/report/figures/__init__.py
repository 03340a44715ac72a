"""Plots: each takes a result and axes, returns the axes, and touches nothing else."""

from .curves import plot_curves, plot_phase
from .fits import fit_figure, plot_fit, plot_profile, plot_residuals, plot_waterfall
from .proposals import plot_bands, plot_boundary, plot_forecast, plot_frontier
from .trajectories import (
    phase_figure,
    plot_accuracies,
    plot_losses,
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
