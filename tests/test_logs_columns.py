"""What a user may say about columns, and what is refused."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.curves.curve import known_evaluator
from coopetition.logs import Columns, parse_columns
from coopetition.logs.columns import columns_from, entries_of, recognised

FLIP, ICL = ("flip", "in_context_acc"), ("icl", "in_context_acc")


def test_evaluators_metrics_errors_and_batch_size():
    columns = parse_columns(
        "flip=eval/flip, icl/loss=l, flip/sem=s,flip/n=count,sequences=step*32,run=seed,iwl=w"
    )
    assert columns.curves == {FLIP: "eval/flip", ("icl", "loss"): "l", ("iwl", "acc"): "w"}
    assert columns.sem == {FLIP: "s"}
    assert columns.n == {FLIP: "count"}
    assert (columns.sequences, columns.batch_size, columns.run) == ("step", 32, "seed")


def test_quotes_keep_commas_equals_and_stars():
    columns = parse_columns('flip="acc, flipped = 1",sequences="a*2"*1e3,icl=x=y')
    assert columns.curves == {FLIP: "acc, flipped = 1", ICL: "x=y"}
    assert (columns.sequences, columns.batch_size) == ("a*2", 1000)
    assert parse_columns('sequences="a*2"').sequences == "a*2"


def test_tidy_names_users_evaluators_and_reference_names():
    columns = parse_columns("evaluator=split,metric=kind,value=v,mine/loss=m,flip_icl=f")
    assert columns.tidy == {"evaluator": "split", "metric": "kind", "value": "v"}
    assert columns.curves == {("mine", "loss"): "m", FLIP: "f"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (",", "empty"),
        ("flip", "not KEY=COLUMN"),
        ("flip=", "not KEY=COLUMN"),
        ("=a", "not KEY=COLUMN"),
        ("flip=a,flip=b", "twice"),
        ("flop=a", "did you mean 'flip'"),
        ("flip/los=a", "did you mean 'loss'"),
        ("flip/sem=a", "without flip/in_context_acc itself"),
        ("flip/loss/x=a", "EVALUATOR"),
        ("sequences=step*0", "positive number"),
        ("sequences=step*1.2.3", "positive number"),
        ('flip="a', "not closed"),
    ],
)
def test_slips_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_columns(text)


def test_mappings_and_columns_are_taken_too():
    assert columns_from({"flip": "a"}) == parse_columns("flip=a")
    given = Columns(curves={FLIP: "a"})
    assert columns_from(given) is given
    assert columns_from(None) is None
    with pytest.raises(ValueError, match="empty"):
        columns_from({})


NAMES = st.text(st.sampled_from('ab1 ,=*"./'), min_size=1).filter(str.strip)
KEYS = st.sampled_from([FLIP, ICL, ("flip", "loss"), ("iwl", "acc"), ("mine", "loss")])


@given(
    st.builds(
        Columns,
        curves=st.dictionaries(KEYS, NAMES, min_size=1),
        sequences=NAMES,
        batch_size=st.one_of(st.just(1.0), st.floats(1e-3, 1e20)),
        run=st.none() | NAMES,
        tidy=st.dictionaries(st.sampled_from(["evaluator", "value", "n"]), NAMES),
    ),
    st.data(),
)
def test_columns_are_told_again_as_they_were(columns, data):
    of_some = st.dictionaries(st.sampled_from(sorted(columns.curves)), NAMES)
    columns = dataclasses.replace(columns, sem=data.draw(of_some), n=data.draw(of_some))
    assert columns_from(entries_of(columns)) == columns


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("flip", FLIP),
        ("Flip/loss", ("flip", "loss")),
        ("icl_in_context_acc", ICL),
        ("pure_iwl-acc", ("iwl", "acc")),
        ("iwl", ("iwl", "acc")),
        ("iwl_copy_avail-loss", ("ciwl", "loss")),
        ("flipped", None),
        ("train_loss_smooth", None),
        ("step", None),
    ],
)
def test_columns_are_recognised_by_name(column, key):
    assert recognised(column) == key


def test_evaluators_are_known_by_the_references_names():
    assert [known_evaluator(n) for n in ("FLIP", "train_eval", "mine")] == ["flip", "train", "mine"]
