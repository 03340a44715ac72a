"""Which runs are the same: one place in one log, whatever they are called."""

from __future__ import annotations

import pytest

from coopetition.curves.curve import Curves
from coopetition.curves.runs import distinct, each_once, numbered
from coopetition.errors import LogError


def run(name: str, **source: str) -> Curves:
    return Curves(run=name, curves={}, source=source)


def test_a_log_counts_once_whatever_its_run_is_called():
    first, other = run("mine", sha256="a"), run("mine", sha256="b")
    again = run("renamed", sha256="a")
    assert each_once([first, other, again]) == [first, other]
    assert each_once([first, other], known=[("old", {"sha256": "b"})]) == [first]


def test_runs_at_several_places_of_one_log_are_different():
    runs = [run(name, sha256="a", run=name) for name in ("one", "two")]
    assert each_once([*runs, runs[0]]) == runs


def test_different_runs_of_one_name_get_numbers_that_are_free():
    runs = [run("mine", sha256=log) for log in "abc"]
    names = [one.run for one in distinct(runs, known=[("mine", {}), ("mine (3)", {})])]
    assert names == ["mine (2)", "mine (4)", "mine (5)"]


def test_runs_without_a_log_have_nothing_but_their_name():
    assert len(each_once([run("a"), run("b")])) == 2
    with pytest.raises(LogError, match="two runs without a log are called 'a': rename one"):
        each_once([run("a"), run("a")])


def test_a_number_is_not_given_twice():
    assert list(numbered(["a", "a-2", "a"], "-{}")) == ["a", "a-2", "a-3"]
