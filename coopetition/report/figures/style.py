"""What all plots share: a colour for each strategy, new axes, labels with units."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "icl": "tab:blue",
        "ciwl": "tab:green",
        "flip": "tab:red",
        "train": "black",
        "total": "black",
        "iwl": "tab:purple",
        "cost": "tab:orange",
    }
)
OTHER = "0.5"
MILLION = 1e6


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure without a window."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def colour(name: str) -> str:
    """The colour of an evaluator or strategy, grey by default."""
    return COLOURS.get(name, OTHER)


def sequences_axis(ax: Axes) -> None:
    """Label the horizontal axis in millions of sequences."""
    ax.set_xlabel("training sequences (millions)")


def accuracy_axis(ax: Axes) -> None:
    """Label the vertical axis for accuracies, and mark chance."""
    ax.set_ylabel("accuracy among labels in context")
    ax.set_ylim(-0.03, 1.03)
    ax.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)


def draw_band(ax: Axes, tone: str, x: Any, lower: Any, upper: Any) -> None:
    """Shade the area between two curves."""
    ax.fill_between(x, lower, upper, color=tone, alpha=0.15, linewidth=0)


def draw_end(ax: Axes, sequences: float) -> None:
    """Mark the end of the log that was used with a dashed line."""
    ax.axvline(sequences / MILLION, color=OTHER, linewidth=0.8, linestyle="--")
