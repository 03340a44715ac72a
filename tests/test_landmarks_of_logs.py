"""Landmarks and verdicts of logs with values that are no numbers, or that begin late."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition import Curve, Curves
from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import verdict
from coopetition.logs import read_curves


def made(flip, *, sequences=None, source=None) -> Curves:
    sequences = np.arange(len(flip), dtype=float) if sequences is None else sequences
    curves = {
        (evaluator, "in_context_acc"): Curve(
            evaluator=evaluator, metric="in_context_acc", sequences=sequences, values=flip
        )
        for evaluator in ("flip", "icl")
    }
    return Curves(run="made", curves=curves, source=source or {})


@given(
    flip=st.lists(st.floats(0, 1), min_size=8, max_size=30),
    gaps=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]), min_size=8, max_size=30),
    exact=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_a_run_with_gaps_is_the_run_without_those_points(flip, gaps, exact):
    points = min(len(flip), len(gaps))
    holed = np.array(flip[:points]) + np.array(gaps[:points])
    good = np.isfinite(holed)
    run = made(holed)
    without = dataclasses.replace(run, curves={k: c.take(good) for k, c in run.curves.items()})
    one, other = (landmarks(each, exact=exact, replicates=20) for each in (run, without))
    assert one.as_dict() == other.as_dict()
    lost = np.sum(~good)
    said = [note for note in one.notes if f"{lost} of {points} values are no numbers" in note]
    assert len(said) == (2 if lost else 0)
    if np.sum(good) > 1:
        assert verdict(run, exact=exact) == verdict(without, exact=exact)
    else:
        with pytest.raises(ValueError, match="2 points of flip accuracy"):
            verdict(run, exact=exact)


@pytest.mark.parametrize("begin", [5e6, 4e6])
def test_what_came_before_a_log_begins_has_no_lower_bound(begin):
    (main,) = read_curves("published:main")
    late = {key: curve.take(curve.sequences >= begin) for key, curve in main.curves.items()}
    whole = landmarks(main)
    found = landmarks(dataclasses.replace(main, curves=late))
    assert whole.emergence.lower is not None
    assert whole.emergence.value < begin
    assert found.emergence.lower is None
    assert found.emergence.upper >= whole.emergence.value
    assert any("emergence: flip is at least 0.6 where the log begins" in n for n in found.notes)
    assert found.crossover.lower < whole.crossover.value < found.crossover.upper
    if found.peak.value == begin:  # seen on its way down only
        assert found.peak.lower is None
        assert found.peak_flip.upper is None
    assert found.as_dict()["intervals"]["emergence"][0] is None


def test_a_run_that_begins_emerged_emerged_when_it_began():
    t = np.linspace(0.0, 8.0, 60)
    falling = 0.9 - 0.1 * t + 0.01 * np.random.default_rng(0).standard_normal(60)
    found, late = (landmarks(made(falling, sequences=t + begin)) for begin in (0.0, 3.0))
    assert (found.emergence.value, found.emergence.lower) == (0.0, 0.0)
    assert not any("where the log begins" in note for note in found.notes)
    assert (late.emergence.lower, late.peak.lower, late.peak_flip.upper) == (None, None, None)
    assert sum("where the log begins, at 3" in note for note in late.notes) == 2
    head_start = dataclasses.replace(
        made(falling, sequences=t + 3.0), settings={"start": "ciwl_only at 3"}
    )
    assert landmarks(head_start).emergence.lower == 3.0
