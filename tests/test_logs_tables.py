"""Anybody's tables as curves, and what becomes of bad ones."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64

from coopetition.errors import LogError
from coopetition.logs import read_curves

POINTS = 12
SEQUENCES = np.arange(POINTS) * 100.0
FLIP = np.round(np.linspace(0.5, 0.9, POINTS), 3)
ICL = np.round(np.linspace(0.5, 0.95, POINTS), 3)


def wide(**changes):
    return pd.DataFrame({"sequences": SEQUENCES, "flip": FLIP, "icl": ICL} | changes)


def tidy(run="a", **changes):
    blocks = [
        {"run": run, "evaluator": e, "metric": "in_context_acc", "sequences": SEQUENCES, "value": v}
        for e, v in (("flip", FLIP), ("icl", ICL))
    ]
    return pd.concat([pd.DataFrame(block | changes) for block in blocks], ignore_index=True)


def read(tmp_path, table, name="log.csv", **options):
    path = tmp_path / name
    if name.endswith(".csv"):
        table.to_csv(path, index=False)
    elif name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True, double_precision=15)
    return read_curves(path, **options)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.jsonl", "misnamed.txt.jsonl"])
@pytest.mark.parametrize("form", [wide, tidy])
def test_every_format_gives_the_same_curves(tmp_path, name, form):
    (run,) = read(tmp_path, form(), name)
    np.testing.assert_array_equal(run.curve("flip").sequences, SEQUENCES)
    np.testing.assert_allclose(run.curve("flip").values, FLIP, atol=FLOAT64)
    np.testing.assert_allclose(run.curve("icl").values, ICL, atol=FLOAT64)
    assert run.source["path"].endswith(name)
    assert len(run.source["sha256"]) == 64
    assert run.source["format"] == {"v": "csv", "t": "parquet", "l": "jsonl"}[name[-1]]
    assert run.curve("flip").sem is None


def test_the_source_tells_what_finds_the_run_again(tmp_path):
    table = pd.concat([wide(seed="a"), wide(seed="b")]).rename(columns={"flip": "acc, flipped"})
    given = {"flip": '"acc, flipped"', "run": "seed", "sequences": "sequences*2"}
    for run in read(tmp_path, table, columns=given):
        said = run.source
        assert said["run"] == run.run
        (again,) = read_curves(said["path"], columns=said["columns"], run=said["run"])
        np.testing.assert_array_equal(again.curve("flip").sequences, 2 * SEQUENCES)
        assert again.source == said
    (alone,) = read(tmp_path, wide())
    assert not {"run", "columns"} & set(alone.source)


def test_formats_are_told_by_contents_not_suffix(tmp_path):
    wide().to_parquet(tmp_path / "log.csv")
    assert read_curves(tmp_path / "log.csv")[0].source["format"] == "parquet"
    wide().to_csv(tmp_path / "log.jsonl", sep="\t", index=False)
    assert read_curves(tmp_path / "log.jsonl")[0].source["format"] == "csv"


def test_several_runs_and_the_choice_of_one(tmp_path):
    both = pd.concat([tidy("a"), tidy("b")])
    assert [run.run for run in read(tmp_path, both)] == ["a", "b"]
    assert [run.run for run in read(tmp_path, both, run="b")] == ["b"]
    with pytest.raises(ValueError, match="unknown run"):
        read(tmp_path, both, run="c")


def test_standard_errors_and_counts_are_kept(tmp_path):
    (run,) = read(tmp_path, tidy(sem=0.01, n=500))
    assert run.curve("flip").sem.tolist() == [0.01] * POINTS
    assert run.curve("icl").n.tolist() == [500] * POINTS


def test_own_names_steps_and_losses_by_columns(tmp_path):
    table = pd.DataFrame({"step": SEQUENCES, "a, b": FLIP, "l": 9 - FLIP, "err": 0.01})
    (run,) = read(tmp_path, table, columns='flip="a, b",flip/sem=err,icl/loss=l,sequences=step*32')
    np.testing.assert_array_equal(run.curve("flip").sequences, SEQUENCES * 32)
    assert run.curve("icl", "loss").values[0] == 8.5
    assert run.curve("flip").sem[0] == 0.01
    split = tidy().rename(columns={"evaluator": "split", "value": "v"})
    (run,) = read(tmp_path, split, columns="evaluator=split,value=v")
    assert run.run == "a"
    assert run.evaluators == ("icl", "flip")


def test_wandb_exports_hold_a_run_a_column(tmp_path):
    table = pd.DataFrame({"Step": SEQUENCES})
    for name, shift in (("brisk-sun-1", 0.0), ("calm-sea-2", 0.05)):
        table[f"{name} - eval/flip"] = FLIP + shift
        table[f"{name} - eval/flip__MIN"] = FLIP
        table[f"{name} - eval/flip__MAX"] = FLIP
    runs = read(tmp_path, table, columns="flip=* - eval/flip,sequences=Step*16")
    assert [run.run for run in runs] == ["brisk-sun-1", "calm-sea-2"]
    np.testing.assert_allclose(runs[1].curve("flip").values, FLIP + 0.05, atol=FLOAT64)
    (one,) = read(tmp_path, table, columns="flip=calm-sea-2 - eval/flip,sequences=Step")
    assert one.evaluators == ("flip",)
    with pytest.raises(ValueError, match="unknown column"):
        read(tmp_path, table, columns="flip=* - eval/flop,sequences=Step")


def test_jsonl_with_nested_objects_gaps_and_a_torn_last_line(tmp_path):
    lines = []
    for s, f in zip(SEQUENCES, FLIP, strict=True):
        lines.append(json.dumps({"seen": s, "train": {"loss": 1.0}}))
        lines.append(json.dumps({"seen": s, "eval": {"flip": f}}))
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + '\n{"seen": 1200, "ev')
    (run,) = read_curves(path, columns="flip=eval/flip,sequences=seen")
    np.testing.assert_array_equal(run.curve("flip").values, FLIP)
    assert run.notes == ("line 25, the last, is cut short and was left out",)
    (run,) = read_curves(path, columns={"flip": "eval/flip", "sequences": "seen"})
    assert len(run.curve("flip")) == POINTS


# what was wrong: (changed table, text of the note, points left of flip, its last value)
HANDLED = {
    "per cent": (wide(flip=100 * FLIP, icl=100 * ICL), "per cent", POINTS, 0.9),
    "gaps": (wide(flip=[np.nan, np.inf, *FLIP[2:]]), "2 of 12 rows have no value", 10, 0.9),
    "repeated": (pd.concat([wide(), wide()[3:6]]).sort_values("sequences"), "3 repeated", 12, 0.9),
    "newest first": (wide()[::-1], "newest first", POINTS, 0.9),
    "in no order": (wide().sample(frac=1, random_state=0), "no order", POINTS, 0.9),
    "restart": (pd.concat([wide(flip=0.6), wide()[:9]]), "restarted at 0", 9, FLIP[8]),
    "resumed": (pd.concat([wide()[:9], wide(flip=0.6)[6:]]), "restarted at 600", POINTS, 0.6),
    "rounding": (wide(flip=[*FLIP[:-1], 1.004]), "just beyond", POINTS, 1.0),
    "short": (wide()[:3], "only 3 points", 3, FLIP[2]),
    "flat": (wide(flip=0.5), "flat, always 0.5", POINTS, 0.5),
    "other columns": (wide(lr=0.1), "not read: lr", POINTS, 0.9),
}


@pytest.mark.parametrize("case", HANDLED)
def test_what_can_be_put_right_is_put_right_and_said(tmp_path, case):
    table, note, points, last = HANDLED[case]
    (run,) = read(tmp_path, table)
    flip = run.curve("flip")
    assert any(note in said for said in run.notes), run.notes
    assert len(flip) == points
    assert flip.values[-1] == pytest.approx(last, abs=FLOAT64)
    assert np.all(np.diff(flip.sequences) > 0)


def test_a_note_on_many_curves_is_one_note(tmp_path):
    many = {f"{e}/{m}": FLIP for e in ("flip", "icl") for m in ("loss", "acc", "prob")}
    table = pd.DataFrame({"sequences": SEQUENCES, **many})[:3]
    (run,) = read(tmp_path, table)
    (short,) = [note for note in run.notes if "only 3 points" in note]
    assert short == "flip/loss, flip/acc, flip/prob and 3 more: only 3 points"


def test_a_resumed_run_keeps_what_came_before_its_checkpoint(tmp_path):
    twice = pd.concat([wide()[:9], wide(flip=0.6)[4:7], wide(flip=0.7)[2:]])
    (run,) = read(tmp_path, twice)
    np.testing.assert_allclose(run.curve("flip").values, [*FLIP[:2], *[0.7] * 10], atol=FLOAT64)


def test_contradicting_rows_are_averaged_and_said(tmp_path):
    table = pd.concat([wide(), wide(flip=FLIP + 0.02)[4:6]]).sort_values("sequences")
    (run,) = read(tmp_path, table)
    assert any("contradict each other at 2" in said for said in run.notes)
    assert run.curve("flip").values[4] == pytest.approx(FLIP[4] + 0.01, abs=FLOAT64)
    assert run.curve("icl").values[4] == ICL[4]


# what is wrong: (changed table, what the message says)
REFUSED = {
    "out of range": (
        wide(flip=[*FLIP[:-1], 1.3]),
        r"flip/in_context_acc is 1.3 at 1,100 sequences",
    ),
    "negative": (wide(flip=[*FLIP[:-1], -0.3]), "-0.3"),
    "a loss": (wide(flip=[*FLIP[:-1], 9.5]), "--columns flip/loss=COLUMN"),
    "mixed": (wide(flip=100 * FLIP), "give all as fractions"),
    "negative sequences": (wide(sequences=SEQUENCES - 300), "negative sequence count"),
    "not numbers": (wide(flip=["50%"] * POINTS), "column 'flip', row 1: '50%' is not a number"),
    "no evaluator": (wide().rename(columns={"flip": "a", "icl": "b"}), "no evaluator among"),
    "steps": (wide().rename(columns={"sequences": "step"}), r"sequences=step\*BATCH_SIZE"),
    "two runs": (
        pd.concat([wide(), wide(flip=0.1)]).sort_values("sequences"),
        "--columns run=seed",
    ),
    "all gaps": (wide(flip=np.nan, icl=np.nan), "no usable evaluator"),
    "header only": (wide()[:0], "no rows"),
    "twice": (wide(flip_icl=FLIP), "both seem to hold flip"),
    "own only": (tidy().assign(evaluator="mine"), "no usable evaluator"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_put_right_is_refused_with_the_reason(tmp_path, case):
    table, message = REFUSED[case]
    with pytest.raises(LogError, match=message):
        read(tmp_path, table)


def test_one_stray_value_is_no_per_cent(tmp_path):
    with pytest.raises(LogError, match="neither a fraction"):
        read(tmp_path, wide(flip=[*FLIP[:-1], 2.0]))


def test_rare_accuracies_in_per_cent_follow_their_run(tmp_path):
    table = tidy()
    table["value"] *= 100
    few = pd.DataFrame(
        {"run": "a", "evaluator": "iwl", "metric": "acc", "sequences": SEQUENCES, "value": 0.4}
    )
    (run,) = read(tmp_path, pd.concat([table, few]))
    assert run.curve("iwl", "acc").values[0] == pytest.approx(0.004, abs=FLOAT64)


def test_a_column_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'flip'"):
        read(tmp_path, wide(), columns="flip=flipp")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n ", "is empty"),
        (bytes(range(256)) * 20, "not UTF-8"),
        (b"a\0b,c\n1,2\n", "binary"),
        (b"\x1f\x8b\x08\0", "damaged gzip"),
        (b"PAR1 and then nothing", "damaged Parquet"),
        (b"\x89HDF\r\n\x1a\n and then nothing", "damaged HDF5"),
        (b"sequences,flip\n0,0.5,7\n", "damaged table: .*every row as many entries"),
        (b"# only a comment\n", "no header"),
        (b"[1, 2]", "entry 1 is not a JSON object"),
        (b"[1, 2", "not JSON"),
        (b'{"a": 1}\n{oops}\n{"a": 2}', "line 2: not JSON"),
        (b"just some words\nand more\n", "no column 'sequences'"),
    ],
)
def test_files_that_are_no_logs(tmp_path, content, message):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(LogError, match=message):
        read_curves(tmp_path / "log.csv")


@given(content=st.binary(max_size=400))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_whatever_raises_anything_else(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(LogError):
        read_curves(tmp_path / "log")


def test_missing_files_name_the_nearest_and_folders_what_they_hold(tmp_path):
    wide().to_csv(tmp_path / "metrics.csv", index=False)
    with pytest.raises(LogError, match=r"did you mean .*metrics\.csv"):
        read_curves(tmp_path / "metric.csv")
    with pytest.raises(LogError, match=r"none of curves\.csv.*metrics\.csv"):
        read_curves(tmp_path)


def test_comments_semicolons_byte_order_marks_and_blank_lines(tmp_path):
    text = "\ufeff# made by hand\n\n" + wide().to_csv(index=False, sep=";")
    (tmp_path / "log.csv").write_text(text + "\n\n", encoding="utf-8")
    (run,) = read_curves(tmp_path / "log.csv")
    np.testing.assert_array_equal(run.curve("icl").values, ICL)


def test_rows_without_a_runs_name_are_the_files_own(tmp_path):
    frame = tidy().astype({"run": "string", "evaluator": "string"})
    frame.loc[frame.index % 2 == 1, "run"] = pd.NA
    named, unnamed = read(tmp_path, frame, "log.parquet")
    assert (named.run, unnamed.run) == ("a", "log")
    assert len(named.curve("flip")) + len(unnamed.curve("flip")) == POINTS


def test_runs_named_by_numbers_are_chosen_by_them(tmp_path):
    frame = pd.concat([tidy(run=1), tidy(run=2)])
    for number in (2, np.int64(2), "2"):
        assert [run.run for run in read(tmp_path, frame, run=number)] == ["2"]
    with pytest.raises(ValueError, match=r"unknown run in .* '3'.*known: 1, 2"):
        read(tmp_path, frame, run=3)
