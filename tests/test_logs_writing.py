"""What is written is read back to the last bit, or not written at all."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopetition import Curve, Curves
from coopetition.logs import read_curves, write_curves

names = st.text(st.characters(categories=["L", "N"], include_characters="_-. "), min_size=1).map(
    str.strip
)


@st.composite
def runs(draw):
    curves = {}
    for key in draw(
        st.sets(st.sampled_from([("flip", "in_context_acc"), ("icl", "loss")]), min_size=1)
    ):
        sequences = sorted(draw(st.sets(st.floats(0, 1e12), min_size=1, max_size=12)))
        size = len(sequences)
        numbers = st.lists(st.floats(0, 1), min_size=size, max_size=size)
        curves[key] = Curve(
            evaluator=key[0],
            metric=key[1],
            sequences=sequences,
            values=draw(numbers),
            sem=draw(st.none() | numbers),
            n=draw(st.none() | st.just(np.full(size, 500.0))),
        )
    return Curves(
        run=draw(names.filter(lambda n: n and n.lower() not in ("nan", "none"))), curves=curves
    )


def same(one, other):
    assert (one.run, one.curves.keys()) == (other.run, other.curves.keys())
    for key, curve in one.curves.items():
        for field in ("sequences", "values", "sem", "n"):
            before, after = getattr(curve, field), getattr(other.curves[key], field)
            assert (before is None) == (after is None), field
            if before is not None:
                np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(run=runs())
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_write_then_read_is_identity(tmp_path, suffix, run):
    path = write_curves(tmp_path / f"curves{suffix}", run)
    (back,) = read_curves(path)
    same(run, back)


def test_several_runs_in_one_file(tmp_path):
    before = [*read_curves("published:main"), *read_curves("published:mq")]
    path = write_curves(tmp_path / "both.parquet", before)
    after = read_curves(path)
    for one, other in zip(before, after, strict=True):
        same(one, other)
    assert [entry.name for entry in tmp_path.iterdir()] == ["both.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_curves(tmp_path / "a.csv", read_curves("published:mq"))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_curves(path, read_curves("published:main"))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_what_cannot_be_written(tmp_path):
    (mq,) = read_curves("published:mq")
    with pytest.raises(ValueError, match=r"use \.csv or \.parquet"):
        write_curves(tmp_path / "a.txt", mq)
    with pytest.raises(ValueError, match="no point"):
        write_curves(tmp_path / "a.csv", [])
    with pytest.raises(ValueError, match="2 runs named 'mq'"):
        write_curves(tmp_path / "a.csv", [mq, mq])
    with pytest.raises(ValueError, match="'FLIP' would be read back as 'flip': rename it"):
        write_curves(tmp_path / "a.csv", with_own(mq, "FLIP"))
    only = with_own(dataclasses.replace(mq, curves={}), "mine")
    with pytest.raises(ValueError, match="add one of train, icl"):
        write_curves(tmp_path / "a.csv", [mq, dataclasses.replace(only, run="only")])
    assert not list(tmp_path.iterdir())


def with_own(run, evaluator):
    """The run with a curve more, of a user's own evaluator."""
    own = Curve(evaluator=evaluator, metric="acc", sequences=[0, 1], values=[0.1, 0.2])
    return dataclasses.replace(run, curves={**run.curves, (evaluator, "acc"): own})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(evaluator=st.sampled_from(["Flip", "pure_iwl", " icl", "mine "]) | names)
@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_evaluator_of_the_users_own_is_read_back_or_refused(tmp_path, suffix, evaluator):
    run = with_own(read_curves("published:mq")[0], evaluator)
    try:
        path = write_curves(tmp_path / f"curves{suffix}", run)
    except ValueError:
        return
    same(run, read_curves(path)[0])
