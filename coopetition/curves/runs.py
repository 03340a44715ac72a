"""Which runs are the same: those from one place in one log, whatever their names."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..errors import LogError
from .curve import Curves

Known = tuple[str, Mapping[str, Any]]  # a run's name and source


def same_run(one: Known, other: Known) -> bool:
    """Whether two runs are one: from one place in one log or, without logs, of one name.

    A log is known by its checksum, a place in it by the run's name there if it holds several.
    """
    (name, source), (its_name, its_source) = one, other
    if source.get("sha256") != its_source.get("sha256"):
        return False
    same_place = "sha256" in source and source.get("run") == its_source.get("run")
    return name == its_name or same_place


def each_once(runs: Iterable[Curves], known: Iterable[Known] = ()) -> list[Curves]:
    """The runs that are not known yet, each once, under their own names.

    A `LogError` if two without a log have the same name: nothing else tells them apart.
    """
    known = list(known)
    new: list[Curves] = []
    for curves in runs:
        own = (curves.run, curves.source)
        again = any(same_run(own, (one.run, one.source)) for one in new)
        if again and "sha256" not in curves.source:
            raise LogError(f"two runs without a log are called {curves.run!r}: rename one")
        if not again and not any(same_run(own, other) for other in known):
            new.append(curves)
    return new


def distinct(runs: Iterable[Curves], known: Iterable[Known] = ()) -> list[Curves]:
    """The runs of `each_once`, with a number behind a name that is in use."""
    known = list(known)
    new = each_once(runs, known)
    names = numbered((curves.run for curves in new), " ({})", used=[name for name, _ in known])
    return [dataclasses.replace(run, run=name) for run, name in zip(new, names, strict=True)]


def numbered(names: Iterable[str], form: str, used: Collection[str] = ()) -> Iterator[str]:
    """The names; one in use gets the first number from 2 that makes it new."""
    in_use = set(used)
    for name in names:
        choices = itertools.chain([name], (name + form.format(n) for n in itertools.count(2)))
        new = next(choice for choice in choices if choice not in in_use)
        in_use.add(new)
        yield new
