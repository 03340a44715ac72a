"""Curves refuse what is not a curve, and cut, look up and tabulate what is."""

import numpy as np
import pytest

from coopetition import Curve, Curves, fit, verdict
from coopetition.curves import landmarks
from coopetition.curves.curve import TABLE_COLUMNS, headline_metric, runs_in
from coopetition.fitting import compare


def curve(evaluator="flip", metric="in_context_acc", **changes):
    given = {"sequences": [0.0, 10.0, 20.0], "values": [0.5, 0.7, 0.4], **changes}
    return Curve(evaluator=evaluator, metric=metric, **given)


def run_of(*curves):
    return Curves(run="r", curves={(c.evaluator, c.metric): c for c in curves})


def test_arrays_are_copied_and_read_only():
    values = np.array([0.5, 0.7, 0.4])
    made = curve(values=values)
    values[0] = 9
    assert made.values[0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        made.values[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequences": [0.0, 10.0, 10.0]}, "strictly increase"),
        ({"sequences": [0.0, 20.0, 10.0]}, "strictly increase"),
        ({"sequences": [0.0, np.nan, 10.0]}, "must be finite"),
        ({"sequences": [0.0, 10.0, np.inf]}, "must be finite"),
        ({"values": [0.5, 0.7]}, r"values of curve flip/in_context_acc has shape \(2,\)"),
        ({"sem": [0.1, 0.1]}, r"sem of curve"),
        ({"sequences": [[0.0, 1.0, 2.0]]}, "shape"),
    ],
)
def test_what_is_no_curve_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        curve(**changes)


def test_until_keeps_the_last_point_and_drops_empty_curves():
    run = run_of(
        curve(sem=[0.1, 0.2, 0.3], n=[5, 5, 5]), curve("icl", sequences=[30.0, 40.0, 50.0])
    )
    cut = run.until(10)
    assert cut.evaluators == ("flip",)
    assert cut.curve("flip").sequences.tolist() == [0, 10]
    assert cut.curve("flip").sem.tolist() == [0.1, 0.2]
    assert run.last_sequence == 50


def test_accuracy_is_the_headline_metric_or_acc():
    run = run_of(curve("iwl", "acc"), curve("flip", "acc"), curve("icl"), curve("icl", "acc"))
    assert run.accuracy("iwl").metric == "acc"
    assert run.accuracy("flip").metric == "acc"
    assert run.accuracy("icl").metric == "in_context_acc"
    assert run.accuracy("train") is None
    assert headline_metric("iwl") == "acc"


def test_a_missing_curve_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'flip/in_context_acc'"):
        run_of(curve()).curve("flop")


def test_labels_leave_out_the_headline_metric():
    assert [curve().label, curve(metric="loss").label, curve("iwl", "acc").label] == [
        "flip",
        "flip/loss",
        "iwl",
    ]


def test_table_is_tidy():
    table = run_of(curve(n=[7, 7, 7]), curve("icl", "loss")).to_table()
    assert tuple(table.columns) == TABLE_COLUMNS
    assert table["value"].tolist() == [0.5, 0.7, 0.4] * 2
    assert table["n"].notna().tolist() == [True] * 3 + [False] * 3
    assert tuple(Curves(run="r", curves={}).to_table().columns) == TABLE_COLUMNS


@pytest.mark.parametrize("use", [landmarks, verdict, fit, lambda runs: compare(runs, ["decay"])])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (run_of(curve()),),
            r"not a tuple: give one of the runs, such as read_curves\(\.\.\.\)\[0\]",
        ),
        ("published:main", r"read_curves\('published:main'\)\[0\]"),
    ],
)
def test_verbs_of_one_run_say_so(use, given, message):
    with pytest.raises(ValueError, match=message):
        use(given)


def test_one_run_or_several_are_a_list():
    one, other = run_of(curve()), run_of(curve())
    assert runs_in(one) == [one]
    assert runs_in(run for run in (one, other)) == [one, other]
    with pytest.raises(ValueError, match="read the log first"):
        runs_in("runs.csv")
    with pytest.raises(ValueError, match="not a tuple"):
        runs_in([one, (other,)])
