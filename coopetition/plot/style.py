"""What plots of measured curves share: colours, axes with units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHER = "0.5"
MILLION = 1e6


def colour(name: str) -> str:
    """The colour of an evaluator or strategy; grey for what has none of its own."""
    return COLOURS.get(name, OTHER)


def sequences_axis(ax: Axes) -> None:
    """Label the horizontal axis in millions of sequences."""
    ax.set_xlabel("training sequences (millions)")


def accuracy_axis(ax: Axes) -> None:
    """A vertical axis for accuracies, with chance marked."""
    ax.set_ylabel("accuracy among labels in context")
    ax.set_ylim(-0.03, 1.03)
    ax.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
