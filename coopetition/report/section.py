"""A part of a page: what every kind of source is turned into."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]  # caption, header, rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report.

    Parameters
    ----------
    title
        Its heading.
    lead
        The one sentence to read.
    figures
        Pictures as PNG, with what they show.
    tables
        Tables as (caption, header, rows).
    notes
        What a reader has to know.
    sources
        ``path`` and ``sha256`` of the files that it was made from.
    """

    title: str
    lead: str
    figures: tuple[tuple[bytes, str], ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()


def picture(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def in_words(chances: Mapping[str, float]) -> str:
    """Verdicts with their probabilities."""
    return ", ".join(f"{name} {share:.2f}" for name, share in chances.items())


def interval(lower: float | None, upper: float | None, form: str, missing: str) -> str:
    """The ends of an interval; ``missing`` stands for an end that there is not."""
    ends = (missing if end is None else form.format(end) for end in (lower, upper))
    return " – ".join(ends)
