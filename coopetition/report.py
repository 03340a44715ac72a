"""One self-contained HTML page of runs and fits: pictures, landmarks, verdicts, sources."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves import Curves
from .errors import LogError
from .files import provenance, write_atomically
from .landmarks import NAMES, Landmark, landmarks, verdict
from .logs import read_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .fitting import Fit


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
    """

    title: str
    lead: str
    figures: tuple[tuple[bytes, str], ...] = ()
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()
    notes: tuple[str, ...] = ()


def report(paths: Sequence[str | os.PathLike[str]]) -> str:
    """The page for files of fits and anything `read_curves` reads.

    Parameters
    ----------
    paths
        ``FIT.json`` files, logs, run folders, ``published:NAME``.

    Returns
    -------
    str
        HTML with its pictures inside.

    Raises
    ------
    ValueError
        If there is no path.
    LogError
        If a path can be read neither as fits nor as curves.
    """
    import jinja2

    if not paths:
        raise ValueError("a report needs at least one path: a FIT.json, a log or a run folder")
    given = [os.fspath(path) for path in paths]
    sections: list[Section] = []
    for path in given:
        if _holds_fits(path):
            from .fitting import read_fits

            sections += [_of_fit(fit) for fit in read_fits(path)]
        else:
            sections += [_of_curves(curves) for curves in read_curves(path)]
    source = resources.files("coopetition.data").joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    files = [path for path in given if Path(path).is_file()]
    about = provenance("report", {"paths": given}, inputs=files)
    return environment.from_string(source).render(
        sections=[_shown(section) for section in sections], about=about
    )


def write_report(path: str | os.PathLike[str], paths: Sequence[str | os.PathLike[str]]) -> Path:
    """Write the page of `report`, whole or not at all."""
    return write_atomically(path, report(paths))


def _holds_fits(path: str) -> bool:
    if not path.endswith(".json") or not Path(path).is_file():
        return False
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LogError(f"cannot read {path}: {error}") from error
    return isinstance(content, dict) and "fits" in content


def _shown(section: Section) -> dict[str, Any]:
    """The section as the template takes it."""
    pictures = [(base64.b64encode(png).decode(), words) for png, words in section.figures]
    return {**dataclasses.asdict(section), "figures": pictures}


def _picture(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _of_curves(curves: Curves) -> Section:
    """A measured run: its curves, landmarks and verdict."""
    from matplotlib.figure import Figure

    from .plot import plot_curves

    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    plot_curves(curves, ax=figure.subplots())
    flip = curves.accuracy("flip")
    # a run just begun has no two points yet
    marks = landmarks(curves) if flip is not None and len(flip) > 1 else None
    lead = f"{len(curves)} curves to {curves.last_sequence:,.0f} sequences"
    if marks is not None:
        said = verdict(curves)
        lead = f"ICL is {said} at {marks.horizon:,.0f} sequences"
    settings = tuple(
        (name, str(value)) for name, value in curves.settings.items() if name != "original"
    )
    tables = [_landmark_table(marks)] if marks is not None else []
    if settings:
        tables.append(("settings", ("setting", "value"), settings))
    source = ", ".join(f"{key} {value}" for key, value in curves.source.items())
    return Section(
        title=f"Run {curves.run}",
        lead=lead,
        figures=((_picture(figure), f"accuracies of {curves.run} against sequences seen"),),
        tables=tuple(tables),
        notes=(*curves.notes, f"source: {source}"),
    )


def _landmark_table(marks: Any) -> tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    header = ("landmark", "value", f"{marks.level:.0%} interval")
    rows = []
    for name in NAMES:
        mark: Landmark | None = getattr(marks, name)
        if mark is None:
            rows.append((name, "none", ""))
            continue
        form = "{:.3f}" if name == "peak_flip" else "{:,.0f}"
        ends = ["open" if end is None else form.format(end) for end in (mark.lower, mark.upper)]
        rows.append((name, form.format(mark.value), " – ".join(ends)))
    return "landmarks, in sequences", header, tuple(rows)


def _of_fit(fit: Fit) -> Section:
    """A fit: model over data, parameters with intervals, residuals, warnings."""
    from .fitting.information import CONFIDENCE
    from .plot import fit_figure

    rows = []
    for p in fit.parameters:
        ends = ["" if end is None else f"{end:.4g}" for end in (p.lower, p.upper)]
        rows.append((p.name, f"{p.value:.4g}", " – ".join(ends) if any(ends) else "", p.status))
    header = ("parameter", "value", f"{CONFIDENCE:.0%} interval", "status")
    errors = tuple((name, f"{value:.4f}") for name, value in fit.rmse.items())
    return Section(
        title=f"{fit.model.name} fitted to {fit.run}",
        lead=(
            f"{fit.hits} of {len(fit.starts)} starts found the optimum; AICc {fit.aicc:.1f}, "
            f"BIC {fit.bic:.1f} over {fit.effective:.0f} effective points of {fit.count}"
        ),
        figures=((_picture(fit_figure(fit)), "the fitted curves over the data, and residuals"),),
        tables=(
            ("parameters", header, tuple(rows)),
            ("root-mean-square errors", ("evaluator", "error"), errors),
        ),
        notes=fit.warnings,
    )
