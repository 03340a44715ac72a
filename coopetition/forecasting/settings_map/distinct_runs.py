"""Runs told apart: each log once, and every run under a name of its own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from ...curves.curve import Curves
from ...errors import LogError

Known = tuple[str, Mapping[str, Any]]  # a run's name and source


def distinct(runs: Iterable[Curves], known: Iterable[Known] = ()) -> list[Curves]:
    """The runs that are not known yet, each once; another run of a name in use gets a number.

    A run is known by the checksum of its log (and its name there, where the log holds several),
    whatever it is called; curves that no file holds have nothing but their name.

    Parameters
    ----------
    runs
        To be told apart.
    known
        Names and sources of runs that are left out, and whose names are in use.

    Raises
    ------
    LogError
        If two of the runs that no file holds have the same name.

    Examples
    --------
    >>> one, other = (Curves(run="mine", curves={}, source={"sha256": log}) for log in "ab")
    >>> [curves.run for curves in distinct([one, other, one])]
    ['mine', 'mine (2)']
    """
    before = list(known)
    new: list[Curves] = []
    used: list[Known] = []  # as they were given
    for curves in runs:
        own = (curves.run, curves.source)
        if any(same_run(own, other) for other in used) and "sha256" not in curves.source:
            raise LogError(f"two runs without a log are called {curves.run!r}: rename one")
        if any(same_run(own, other) for other in (*before, *used)):
            continue
        used.append(own)
        names = {name for name, _ in before} | {one.run for one in new}
        numbered = (f"{curves.run} ({number})" for number in itertools.count(2))
        name = next(one for one in itertools.chain([curves.run], numbered) if one not in names)
        new.append(dataclasses.replace(curves, run=name))
    return new


def same_run(one: Known, other: Known) -> bool:
    """Whether two names and sources are of one run: one place in one log, or one name if in none.

    Examples
    --------
    >>> same_run(("a", {"sha256": "f", "run": "a"}), ("b", {"sha256": "f", "run": "b"}))
    False
    """
    (name, source), (its_name, its_source) = one, other
    if source.get("sha256") != its_source.get("sha256"):
        return False
    same_place = "sha256" in source and source.get("run") == its_source.get("run")
    return name == its_name or same_place
