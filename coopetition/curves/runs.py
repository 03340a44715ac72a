"""The one rule of which runs are the same: one place in one log, whatever they are called."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..errors import LogError
from .curve import Curves

Known = tuple[str, Mapping[str, Any]]  # a run's name and source


def same_run(one: Known, other: Known) -> bool:
    """Whether two names and sources are of one run: one place in one log, or one name if in none.

    A log is known by its checksum, a place in it by the run's name there, where it holds several.

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


def each_once(runs: Iterable[Curves], known: Iterable[Known] = ()) -> list[Curves]:
    """The runs that are not known yet, each once, under the names they were given.

    A `LogError` if two that no file holds have the same name: nothing else tells them apart.
    """
    before = list(known)
    new: list[Curves] = []
    for curves in runs:
        own = (curves.run, curves.source)
        again = any(same_run(own, (one.run, one.source)) for one in new)
        if again and "sha256" not in curves.source:
            raise LogError(f"two runs without a log are called {curves.run!r}: rename one")
        if not again and not any(same_run(own, other) for other in before):
            new.append(curves)
    return new


def distinct(runs: Iterable[Curves], known: Iterable[Known] = ()) -> list[Curves]:
    """The runs of `each_once`; another run of a name in use gets a number.

    Examples
    --------
    >>> one, other = (Curves(run="mine", curves={}, source={"sha256": log}) for log in "ab")
    >>> [curves.run for curves in distinct([one, other, one])]
    ['mine', 'mine (2)']
    """
    before = list(known)
    new = each_once(runs, before)
    names = numbered((curves.run for curves in new), " ({})", used=[name for name, _ in before])
    return [dataclasses.replace(run, run=name) for run, name in zip(new, names, strict=True)]


def numbered(names: Iterable[str], form: str, used: Collection[str] = ()) -> Iterator[str]:
    """The names, those in use before them with the first number from 2 that makes them new.

    Examples
    --------
    >>> list(numbered(["a", "b", "a"], "-{}"))
    ['a', 'b', 'a-2']
    """
    taken = set(used)
    for name in names:
        choices = itertools.chain([name], (name + form.format(n) for n in itertools.count(2)))
        taken.add(chosen := next(choice for choice in choices if choice not in taken))
        yield chosen
