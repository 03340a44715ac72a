"""The page: sections one after the other, and what could not be shown."""

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

OnePath = str | os.PathLike[str]
Paths = OnePath | Sequence[OnePath]
NamedColumns = Columns | Mapping[str, str] | str | None
FAILURES = (CoopetitionError, ValueError, OSError)


def report(paths: Paths, *, columns: NamedColumns = None) -> str:
    """The page for files of fits, folders of proposals and anything `read_curves` reads.

    What cannot be shown is said in the page, as long as something can be.

    Parameters
    ----------
    paths
        ``FIT.json`` files, logs, run folders and folders of them, ``published:NAME``, folders that
        `propose -o` wrote; one of these or several.
    columns
        Which column of a log holds what, as `read_curves` takes them; runs that ship with the
        package need none.

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
    listed = _listed(paths)
    return _page(listed, *_sections(listed, columns))


def write_report(
    path: str | os.PathLike[str], paths: Paths, *, columns: NamedColumns = None
) -> tuple[str, ...]:
    """Write the page of `report`, whole or not at all.

    Returns
    -------
    tuple of str
        What could not be shown, a sentence each.
    """
    listed = _listed(paths)
    sections, missing = _sections(listed, columns)
    write_atomically(path, _page(listed, sections, missing))
    return missing


def _listed(paths: Paths) -> list[str]:
    """The paths as texts, one as a list of it, with the user's folder for ``~``."""
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [os.path.expanduser(path) for path in several]


def _sections(paths: Sequence[str], columns: NamedColumns) -> tuple[list[Section], tuple[str, ...]]:
    """All that can be shown, and what cannot."""
    if not paths:
        raise ValueError("a report needs at least one path: a FIT.json, a log or a run folder")
    sections: list[Section] = []
    failed: list[tuple[str, Exception]] = []
    for path in paths:
        try:
            parts = _parts(path)
        except FAILURES as error:
            failed.append((path, error))
            continue
        for part in parts:
            try:
                sections += _shown(part, columns)
            except FAILURES as error:
                failed.append((part, error))
    missing = tuple(
        str(error) if part in str(error) else f"{part}: {error}" for part, error in failed
    )
    if not sections:
        if len(failed) == 1:
            raise failed[0][1]
        raise LogError("; ".join(missing))
    return sections, missing


def _parts(path: str) -> list[str]:
    """The path, or the runs in a folder of several, so that one that is damaged stands alone."""
    if holds_proposals(path) or not Path(path).is_dir():
        return [path]
    return [str(folder) for folder in run_folders(Path(path))]


def _shown(path: str, columns: NamedColumns) -> list[Section]:
    if holds_fits(path):
        return of_fits(path)
    if holds_proposals(path):
        return [of_proposals(path)]
    own = None if path.startswith(SHIPPED) else columns
    return [of_curves(curves) for curves in read_curves(path, columns=own)]


def _page(paths: Sequence[str], sections: Sequence[Section], missing: Sequence[str]) -> str:
    """The template filled in, with pictures inside."""
    import jinja2

    source = resources.files("coopetition.data").joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    filled = []
    for section in sections:
        figures = [(base64.b64encode(png).decode(), words) for png, words in section.figures]
        filled.append({**dataclasses.asdict(section), "figures": figures})
    return environment.from_string(source).render(
        sections=filled,
        missing=missing,
        about=provenance(
            "report",
            {"paths": list(paths)},
            sources=[source for section in sections for source in section.sources],
        ),
    )
