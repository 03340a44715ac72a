"""The report page: its sections, and what could not be shown."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from ..errors import CoopetitionError, LogError
from ..files import provenance, write_atomically
from ..fitting import holds_fits
from ..logs import Columns, read_curves
from ..logs.reading import run_folders
from ..logs.shipped_runs import SHIPPED
from .sections import Section, holds_proposals, of_curves, of_fits, of_proposals

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
NamedColumns = Columns | Mapping[str, str] | str | None
FAILURES = (CoopetitionError, ValueError, OSError)


def report(paths: Paths, *, columns: NamedColumns = None) -> str:
    """The page for fits, folders of proposals and anything that `read_curves` reads.

    The page lists what could not be shown.

    Parameters
    ----------
    paths
        One or several of: ``FIT.json`` files, logs, run folders and folders of these,
        ``published:NAME``, folders that `propose -o` wrote.
    columns
        Which column of a log holds what, as in `read_curves`; runs that ship with the package need
        none.

    Returns
    -------
    str
        HTML with its pictures inside.

    Raises
    ------
    ValueError
        If there is no path.
    CoopetitionError
        If none of the paths can be shown.
    """
    return _page_and_failures(paths, columns)[0]


def write_report(
    path: str | os.PathLike[str], paths: Paths, *, columns: NamedColumns = None
) -> tuple[str, ...]:
    """Write the page of `report`, whole or not at all.

    Returns
    -------
    tuple of str
        What could not be shown, a sentence each.
    """
    page, failures = _page_and_failures(paths, columns)
    write_atomically(path, page)
    return failures


def _page_and_failures(paths: Paths, columns: NamedColumns) -> tuple[str, tuple[str, ...]]:
    """The page, and a sentence on each path that it does not show."""
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    sources = [os.path.expanduser(path) for path in several]
    if not sources:
        raise ValueError("a report needs at least one path: a FIT.json, a log or a run folder")
    sections: list[Section] = []
    errors: list[tuple[str, Exception]] = []
    for source in sources:
        try:
            parts = _parts(source)
        except FAILURES as error:
            errors.append((source, error))
            continue
        for part in parts:
            try:
                sections += _sections(part, columns)
            except FAILURES as error:
                errors.append((part, error))
    failures = tuple(
        str(error) if part in str(error) else f"{part}: {error}" for part, error in errors
    )
    if not sections:
        raise errors[0][1] if len(errors) == 1 else LogError("; ".join(failures))
    return _page(sources, sections, failures), failures


def _parts(path: str) -> list[str]:
    """The path, or each run in a folder of several, so that a damaged run fails alone."""
    if holds_proposals(path) or not Path(path).is_dir():
        return [path]
    return [str(folder) for folder in run_folders(Path(path))]


def _sections(path: str, columns: NamedColumns) -> list[Section]:
    """The sections of one file, run or folder of proposals."""
    if holds_fits(path):
        return of_fits(path)
    if holds_proposals(path):
        return [of_proposals(path)]
    own = None if path.startswith(SHIPPED) else columns
    return [of_curves(curves) for curves in read_curves(path, columns=own)]


def _page(paths: Sequence[str], sections: Sequence[Section], missing: Sequence[str]) -> str:
    """The template filled in, with its pictures embedded."""
    import jinja2

    template = resources.files("coopetition.data").joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    filled = []
    for section in sections:
        figures = [(base64.b64encode(png).decode(), words) for png, words in section.figures]
        filled.append({**dataclasses.asdict(section), "figures": figures})
    sources = [source for section in sections for source in section.sources]
    about = provenance("report", {"paths": list(paths)}, sources=sources)
    return environment.from_string(template).render(sections=filled, missing=missing, about=about)
