"""One colour a strategy in every picture, and axes to draw on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def new_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure that no window belongs to."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
