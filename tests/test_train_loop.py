"""Runs that last: interrupted, killed, damaged or out of space, they end as if nothing happened."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from short_runs import BATCH, StopAt, everything, go, small

from coopetition.errors import CheckpointError, TrainingError
from coopetition.files import PARTIAL
from coopetition.logs import read_curves
from coopetition.settings.yaml_files import write_settings
from coopetition.train import loop
from coopetition.train.folder import run_folder as runs
from coopetition.train.folder.checkpoints import (
    FOLDER,
    newest_checkpoint,
    prune,
    read_checkpoint,
    write_checkpoint,
)
from coopetition.train.folder.run_folder import (
    CURVES,
    EVALUATIONS,
    MEASURES,
    append_rows,
    cut_table,
)


def test_a_run_leaves_what_it_promises(unbroken):
    curves = read_curves(unbroken)[0]
    assert curves.run == "small"
    assert curves.evaluators == ("train", "icl", "ciwl", "flip", "iwl")
    flip = curves.curve("flip")
    assert flip.sequences.tolist() == [0, 40, 80, 120, 160, 200, 240]
    assert (flip.n == 20).all()
    with np.load(unbroken / EVALUATIONS / f"{120:015d}.npz") as values:
        answers = values["flip/in_context_acc"]
    assert answers.dtype == bool
    assert answers.mean() == flip.values[3]
    assert flip.sem[3] == pytest.approx(answers.std(ddof=1) / 20**0.5)
    about = json.loads((unbroken / "run.json").read_text())
    assert about["torch"] == torch.__version__
    assert len(about["data"]["sha256"]) == 64
    assert curves.settings


def test_a_run_does_not_overwrite_another(unbroken):
    with pytest.raises(ValueError, match="holds a run already"):
        go(small(), unbroken)


def test_the_same_seed_gives_the_same_run_and_another_does_not(unbroken, tmp_path):
    go(small(), tmp_path / "again")
    go(small(seed=1), tmp_path / "other")
    assert everything(tmp_path / "again") == everything(unbroken)
    assert everything(tmp_path / "other")[CURVES] != everything(unbroken)[CURVES]


@pytest.mark.parametrize("at", [BATCH, 40, 100, 128, 236])
def test_interrupted_and_resumed_is_bitwise_the_unbroken_run(unbroken, tmp_path, monkeypatch, at):
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError, match="continue with --resume"):
        go(small(), tmp_path / "run", observers=[StopAt(at)])
    reached, _ = newest_checkpoint(tmp_path / "run")
    assert reached.sequences == at
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(unbroken)


def test_killed_at_any_moment_and_resumed_is_bitwise_the_unbroken_run(tmp_path):
    settings = small(run={"sequences": 4_000})
    path = tmp_path / "settings.yaml"
    write_settings(settings, path)
    go(settings, tmp_path / "unbroken")
    command = [
        *(sys.executable, "-c", "from coopetition_cli import main; main()"),
        *("train", str(path), "-o", str(tmp_path / "run"), "--resume", "--quiet"),
        *("--device", "cpu"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    evaluations = tmp_path / "run" / EVALUATIONS
    for wanted in (1, 50):  # kill it when so many evaluations are there
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(evaluations.glob("*.npz"))) < wanted:
            time.sleep(0.002)
        process.kill()
        process.wait()
    assert not (tmp_path / "run" / FOLDER / f"{4_000:015d}.json").exists()  # killed before its end
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert everything(tmp_path / "run") == everything(tmp_path / "unbroken")


def damage_by_flipping(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_flipping,
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text('{"sequences": 1'),
    ],
    ids=["a bit flipped", "cut short", "empty", "no json", "json cut short"],
)
def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_used(
    unbroken, tmp_path, monkeypatch, damage
):
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(small(), tmp_path / "run", observers=[StopAt(200)])
    damage(tmp_path / "run" / FOLDER / f"{200:015d}.safetensors")
    listener = StopAt(np.inf)
    go((), tmp_path / "run", resume=True, observers=[listener])
    said = " ".join(listener.notes)
    assert "falling back to the one before it" in said
    assert "continuing from 180" in said
    assert everything(tmp_path / "run") == everything(unbroken)


def test_without_any_whole_checkpoint_a_run_begins_again(unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(small(), tmp_path / "run", observers=[StopAt(100)])
    for path in (tmp_path / "run" / FOLDER).glob("*.json"):
        path.unlink()
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(unbroken)


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(unbroken, tmp_path, monkeypatch):
    listener = StopAt(np.inf)
    write = loop.write_checkpoint

    def from_120_on(run, sequences, *args, **kwargs):
        return (write if sequences < 120 else full_disk)(run, sequences, *args, **kwargs)

    monkeypatch.setattr(loop, "write_checkpoint", from_120_on)
    go(small(), tmp_path / "run", observers=[listener])
    assert any("No space left" in note and "the last is at 60" in note for note in listener.notes)
    assert newest_checkpoint(tmp_path / "run")[0].sequences == 60
    assert everything(tmp_path / "run") == everything(unbroken)


def test_curves_that_cannot_be_written_stop_the_run_and_it_can_go_on(
    unbroken, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        write = runs.write_atomically

        def full_at_160(path, content):
            (full_disk if path.name == f"{160:015d}.npz" else write)(path, content)

        patch.setattr(runs, "write_atomically", full_at_160)
        with pytest.raises(TrainingError, match="make room, then continue"):
            go(small(), tmp_path / "run")
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(unbroken)


def broken_off(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [full_disk, broken_off])
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, stop):
    write_checkpoint(tmp_path, 5, {"x": torch.ones(3)})
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_checkpoint(tmp_path, 10, {"x": torch.zeros(3)})
    names = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert names == [f"{5:015d}.json", f"{5:015d}.safetensors"]


def test_checkpoints_come_back_as_written_and_old_ones_go(tmp_path):
    flat = torch.arange(6.0)
    tensors = {"a": flat[:2], "b": flat[2:].view(2, 2), "n": torch.tensor(7)}  # shared memory
    for sequences in (10, 20, 30, 40):
        path = write_checkpoint(tmp_path, sequences, tensors, kept=sequences == 10)
    checkpoint = read_checkpoint(path)
    assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in tensors.items())
    (tmp_path / FOLDER / f".{50:015d}.safetensors.0a1b{PARTIAL}").write_bytes(b"killed here")
    prune(tmp_path, 2)
    assert not list((tmp_path / FOLDER).glob(f".*{PARTIAL}"))
    left = sorted(int(path.stem) for path in (tmp_path / FOLDER).glob("*.safetensors"))
    assert left == [10, 30, 40]


def test_resuming_with_other_settings_is_refused_but_more_sequences_are_not(tmp_path):
    go(small(), tmp_path / "run")
    with pytest.raises(ValueError, match="other optimisation settings"):
        go(small(optimisation={"lr": 1e-3}), tmp_path / "run", resume=True)
    longer = small(run={"sequences": 320})
    go(longer, tmp_path / "run", resume=True)
    go(longer, tmp_path / "at_once")
    assert everything(tmp_path / "run") == everything(tmp_path / "at_once")


def test_a_finished_run_resumed_stays_as_it_is(unbroken):
    before = everything(unbroken)
    (run,) = go((), unbroken, resume=True)
    assert everything(unbroken) == before
    assert run.sequences == 240


def test_circuits_are_measured_on_a_schedule_and_resumed_bitwise(tmp_path, monkeypatch):
    settings = small(run={"measures_every": 80})
    go(settings, tmp_path / "unbroken")
    rows = (tmp_path / "unbroken" / MEASURES).read_text().splitlines()
    assert rows[0] == "run,measure,sequences,value"
    induction = [row.split(",") for row in rows if ",induction.1.0," in row]
    assert [int(row[2]) for row in induction] == [0, 80, 160, 240]
    assert all(-1 <= float(row[3]) <= 1 for row in induction)
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(settings, tmp_path / "run", observers=[StopAt(100)])
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(tmp_path / "unbroken")


def test_a_row_written_in_part_is_dropped(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("name,sequences,value\n")
    append_rows(table, [("a", 5, 0.1), ("b,c", 10, 0.2), ("d", 20, 0.3)])
    with table.open("a") as file:
        file.write("e,1")
    cut_table(table, 10)
    assert table.read_text().splitlines() == ["name,sequences,value", "a,5,0.1", '"b,c",10,0.2']


def test_there_must_be_a_run_to_continue(tmp_path):
    (tmp_path / "members.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        go((), tmp_path, resume=True)
    with pytest.raises(ValueError, match="no settings"):
        go((), tmp_path / "nothing", resume=True)


def test_a_run_goes_into_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (run,) = go(small(run={"sequences": BATCH}), "~/run")
    assert run.folder == tmp_path / "home" / "run"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("stopped", [False, True])
def test_threads_are_the_runs_own_and_given_back(tmp_path, stopped):
    before = torch.get_num_threads()
    settings = small(run={"sequences": 40, "threads": before + 1})
    seen = Threads(40 if stopped else np.inf)
    with pytest.raises(TrainingError) if stopped else contextlib.nullcontext():
        go(settings, tmp_path / "run", observers=[seen])
    assert seen.threads == {before + 1}
    assert torch.get_num_threads() == before


class Threads(StopAt):
    """Notes how many threads a run computes with."""

    def __init__(self, sequences):
        super().__init__(sequences)
        self.threads = set()

    def advanced(self, sequences):
        self.threads.add(torch.get_num_threads())
        super().advanced(sequences)
