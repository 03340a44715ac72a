"""What is in a run's folder is kept, by one process at a time."""

import errno
import json
import os
import shutil

import pytest
import torch
from filelock import FileLock
from short_runs import StopAt, everything, files_of, go, small

from coopetition.errors import CheckpointError, TrainingError
from coopetition.train.folder.ownership import LOCK, FolderTaken, owned
from coopetition.train.folder.run_folder import ABOUT, CURVES, SETTINGS, RunFolder


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_does_not_overwrite_curves_that_came_from_elsewhere(unbroken, tmp_path):
    shutil.copy(unbroken / CURVES, tmp_path)
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"without the settings\.yaml .* another folder"):
            go(small(), tmp_path, resume=resume)
    assert files_of(tmp_path) == {CURVES: (unbroken / CURVES).read_bytes()}


def test_a_runs_settings_outlast_a_resume_that_cannot_write_them(tmp_path, monkeypatch):
    settings = small(optimisation={"lr": 1e-3})  # that is not the default
    go(settings, tmp_path / "run")
    before = (tmp_path / "run" / SETTINGS).read_bytes()
    longer = settings.replace(run=settings.run.replace(sequences=320))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            go(longer, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / SETTINGS).read_bytes() == before
    go(longer, tmp_path / "run", resume=True)
    assert RunFolder.open(tmp_path / "run").settings == longer
    go(longer, tmp_path / "at_once")
    assert everything(tmp_path / "run") == everything(tmp_path / "at_once")


def test_a_member_of_an_ensemble_is_not_begun_anew(tmp_path):
    ensemble = tmp_path / "two"
    go([small("a"), small("b", seed=1)], ensemble)
    before = everything(ensemble / "a")
    longer = small("a", run={"sequences": 320})
    for given in ((), longer):
        with pytest.raises(ValueError, match=r"no checkpoints of its own: continue .*two instead"):
            go(given, ensemble / "a", resume=True)
    assert everything(ensemble / "a") == before


def test_settings_that_stay_as_they_are_are_not_written_again(unbroken, tmp_path):
    shutil.copytree(unbroken, tmp_path / "run")
    before = (tmp_path / "run" / SETTINGS).stat()
    go((), tmp_path / "run", resume=True)
    after = (tmp_path / "run" / SETTINGS).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("before_section", ["name", "data", "network", "run"])
def test_a_run_whose_settings_were_cut_short_is_not_continued_with_others(
    unbroken, tmp_path, before_section
):
    shutil.copytree(unbroken, tmp_path / "run")
    before = everything(unbroken)
    text = (unbroken / SETTINGS).read_text()
    (tmp_path / "run" / SETTINGS).write_text(text[: text.index(f"{before_section}:")])
    for given in ((), small()):
        with pytest.raises(CheckpointError, match="settings are damaged"):
            go(given, tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == before


def test_a_continued_run_says_what_each_part_was_computed_with(tmp_path):
    go(small(), tmp_path / "run", about={"command": ["first"]})
    said = json.loads((tmp_path / "run" / ABOUT).read_text())
    assert said["kernels"] == "written"
    go((), tmp_path / "run", resume=True, about={"command": ["nothing was left to do"]})
    assert json.loads((tmp_path / "run" / ABOUT).read_text()) == said
    for sequences in (320, 400):
        longer = small(run={"sequences": sequences, "kernels": "plain"})
        go(longer, tmp_path / "run", resume=True, about={"command": [f"to {sequences}"]})
    now = json.loads((tmp_path / "run" / ABOUT).read_text())
    parts = now.pop("continued")
    assert now == said
    assert [part["from_sequences"] for part in parts] == [240, 320]
    assert [part["command"] for part in parts] == [["to 320"], ["to 400"]]
    for part in parts:
        assert part["kernels"] == "plain"
        assert (part["device"], part["torch"]) == ("cpu", torch.__version__)
        assert part["coopetition"] == said["coopetition"]
    RunFolder.open(tmp_path / "run").record({"seen": 1})
    assert json.loads((tmp_path / "run" / ABOUT).read_text())["continued"][-1]["seen"] == 1


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_folder_in_which_another_trains_is_left_alone(unbroken, tmp_path, begun, resume):
    folder = tmp_path / "run"
    if begun:
        shutil.copytree(unbroken, folder)
    with owned(folder):
        before = files_of(folder)
        with pytest.raises(FolderTaken, match="is being trained by process"):
            go(small(), folder, resume=resume)
        assert files_of(folder) == before


def test_a_run_at_work_is_nobody_elses_until_it_ends(unbroken, tmp_path):
    class Intruder(StopAt):
        def advanced(self, sequences):
            with pytest.raises(FolderTaken):
                go((), tmp_path / "run", resume=True)
            super().advanced(sequences)

    with pytest.raises(TrainingError, match="interrupted"):
        go(small(), tmp_path / "run", observers=[Intruder(100)])
    go((), tmp_path / "run", resume=True)
    assert everything(tmp_path / "run") == everything(unbroken)
    assert LOCK not in files_of(tmp_path / "run")


def test_what_is_refused_leaves_no_folder_and_no_lock(tmp_path):
    twins = [small("a"), small("a")]
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "new" / "run"):
        with pytest.raises(ValueError, match="two runs"):
            go(twins, folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_where_there_are_no_locks_only_sweeps_are_refused(unbroken, tmp_path, monkeypatch):
    def no_locks(*args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with pytest.raises(TrainingError, match="with flock"), owned(tmp_path):
        pass
    go(small(), tmp_path / "run")
    assert everything(tmp_path / "run") == everything(unbroken)
