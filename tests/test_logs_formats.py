"""What a log is, its contents tell: forms of JSON, compression, repeated names, nested folders."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow
import pytest

from coopetition.errors import LogError
from coopetition.logs import read_curves

N = 12
SEQUENCES = [100 * k for k in range(N)]
FLIP = [round(0.5 + 0.03 * k, 3) for k in range(N)]
ICL = [round(0.5 + 0.035 * k, 4) for k in range(N)]
RECORDS = [
    {"sequences": s, "flip": f, "icl": i} for s, f, i in zip(SEQUENCES, FLIP, ICL, strict=True)
]
CSV = pd.DataFrame(RECORDS).to_csv(index=False)
JSON = {
    "lines": "\n".join(json.dumps(record) for record in RECORDS),
    "list": json.dumps(RECORDS),
    "indented list": json.dumps(RECORDS, indent=2),
    "lists": json.dumps({"sequences": SEQUENCES, "flip": FLIP, "icl": ICL}),
    "lists and more": json.dumps({"name": "x", "sequences": SEQUENCES, "flip": FLIP, "icl": ICL}),
    "trainer state": json.dumps({"best_metric": None, "log_history": RECORDS}, indent=2),
}


def right(run):
    flip, icl = run.curve("flip"), run.curve("icl")
    assert flip.sequences.tolist() == SEQUENCES
    assert (flip.values.tolist(), icl.values.tolist()) == (FLIP, ICL)


@pytest.mark.parametrize("form", JSON)
@pytest.mark.parametrize("name", ["log.json", "log.jsonl", "log.txt"])
def test_json_in_any_form_and_under_any_name(tmp_path, form, name):
    (tmp_path / name).write_text(JSON[form])
    (run,) = read_curves(tmp_path / name)
    right(run)
    assert run.run == "log"


@pytest.mark.parametrize("content", [CSV, JSON["lines"], JSON["list"]])
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_logs_are_read_as_what_they_hold(tmp_path, content, kind):
    path = tmp_path / f"log.csv.{kind}"
    with pyarrow.CompressedOutputStream(str(path), kind) as file:
        file.write(content.encode())
    (run,) = read_curves(path)
    right(run)
    assert run.source["path"] == str(path)


def test_a_compressed_table_in_a_runs_folder(tmp_path):
    with gzip.open(tmp_path / "curves.csv.gz", "wt") as file:
        file.write(CSV)
    (tmp_path / "settings.yaml").write_text("network: {width: 32}\n")
    for path in (tmp_path, tmp_path / "curves.csv.gz"):
        (run,) = read_curves(path)
        right(run)
        assert run.settings["width"] == 32


def test_what_unpacks_to_far_more_than_a_log_is_refused(tmp_path):
    with gzip.open(tmp_path / "log.gz", "wb") as file:
        file.write(b"0" * 200_000_000)
    with pytest.raises(LogError, match="far more than a log"):
        read_curves(tmp_path / "log.gz")


def test_a_json_object_that_is_no_log_says_what_it_is(tmp_path):
    (tmp_path / "log.json").write_text(
        json.dumps({"config": {"lr": 1}, "results": [{"flip": 1}]}, indent=1)
    )
    with pytest.raises(LogError, match="JSON object of config, results: give records"):
        read_curves(tmp_path / "log.json")


def test_headers_that_come_again_are_left_out_by_their_line(tmp_path):
    lines = CSV.splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*lines[:6], "", lines[0], *lines[6:], ""]))
    (run,) = read_curves(tmp_path / "log.csv")
    right(run)
    assert any(note.startswith("line 8 repeats the header") for note in run.notes)


def test_two_columns_of_one_name_are_told_apart_or_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV.replace("icl", "flip", 1))
    with pytest.raises(LogError, match="columns 2 and 3 are all named 'flip'"):
        read_curves(path)
    with pytest.raises(LogError, match="columns 2 and 3"):
        read_curves(path, columns="flip=flip")
    path.write_text(CSV.replace("flip,icl", "a - acc,a - acc", 1))
    one, other = read_curves(path, columns="flip=* - acc,sequences=sequences")
    assert (one.run, other.run) == ("a", "a (2)")
    assert other.curve("flip").values.tolist() == ICL


def test_an_index_that_pandas_kept_is_a_column(tmp_path):
    pd.DataFrame(RECORDS).set_index("sequences").to_parquet(tmp_path / "log.parquet")
    (run,) = read_curves(tmp_path / "log.parquet")
    right(run)


def test_tags_without_a_column_of_metrics_mean_their_headline(tmp_path):
    table = pd.DataFrame(RECORDS).melt("sequences", var_name="tag")
    table.to_csv(tmp_path / "log.csv", index=False)
    (run,) = read_curves(tmp_path / "log.csv", columns="evaluator=tag,value=value")
    right(run)


def test_folders_beneath_folders_are_read_and_told_apart(tmp_path):
    for place in ("", "a", "sweep/b", "sweep/a", "deep/er/still/c"):
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "curves.csv").write_text(CSV)
    (tmp_path / "a" / "tensorboard").mkdir()  # as our own trainer's: the same run once more
    (tmp_path / "a" / "tensorboard" / "events.out.tfevents.1.x.0").write_bytes(b"")
    runs = read_curves(tmp_path)
    assert {run.run for run in runs} == {tmp_path.name, "a", "b", "sweep-a", "c"}
    for run in runs:
        right(run)


def test_logs_beside_the_one_that_is_read_are_named(tmp_path):
    (tmp_path / "curves.csv").write_text(CSV)
    (tmp_path / "events.out.tfevents.1.x.0").write_bytes(b"")
    (run,) = read_curves(tmp_path)
    assert "beside curves.csv, events.out.tfevents.1.x.0 was not read" in run.notes


def tidy(**changes):
    table = pd.DataFrame(
        {"run": "r", "evaluator": "flip", "metric": "in_context_acc", "sequences": SEQUENCES,
         "value": FLIP, "sem": 0.01}
    )  # fmt: skip
    return table.assign(**changes)


def test_single_missing_errors_follow_the_others(tmp_path):
    tidy(sem=[0.01] * (N - 1) + [np.nan]).to_csv(tmp_path / "log.csv", index=False)
    (run,) = read_curves(tmp_path / "log.csv")
    assert run.curve("flip").sem.tolist() == [0.01] * N
    assert any("1 of 12 standard errors are missing" in note for note in run.notes)


def test_negative_errors_are_refused(tmp_path):
    tidy(sem=-0.01).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(LogError, match=r"a standard error of -0.01, and none can be negative"):
        read_curves(tmp_path / "log.csv")


@pytest.mark.parametrize("start", [3.5, 7.4, 0.69])
def test_losses_given_for_accuracies_are_named(tmp_path, start):
    losses = np.linspace(start, 0.02, 40)
    table = pd.DataFrame({"sequences": np.arange(40) * 100, "icl": losses, "flip": losses})
    table.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(LogError, match="if it is a loss, say so: --columns icl/loss=COLUMN"):
        read_curves(tmp_path / "log.csv")
    (run,) = read_curves(tmp_path / "log.csv", columns="icl/loss=icl,train/loss=flip")
    assert run.curve("icl", "loss").values[0] == pytest.approx(start)


def test_accuracies_among_more_labels_are_named(tmp_path):
    rising = np.linspace(0.125, 0.9, 40)
    table = pd.DataFrame({"sequences": np.arange(40) * 100, "icl": rising})
    table.to_csv(tmp_path / "log.csv", index=False)
    (run,) = read_curves(tmp_path / "log.csv")
    assert any("below chance between two labels" in note for note in run.notes)
