"""Sweeps on workers that die, stop and come back: nothing is lost, nothing trained twice."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from small_sweeps import (
    COMMON,
    InThisProcess,
    alive,
    attempts,
    curves,
    eventually,
    go,
    half_way,
    sweep,
)

from coopetition.errors import TrainingError
from coopetition.logs import read_curves
from coopetition.settings.training import TrainingSettings
from coopetition.train.folder.ownership import LOCK, FolderTaken, owned
from coopetition.train.sweeps import task_process
from coopetition.train.sweeps.dispatch import SweepBar, dispatch
from coopetition.train.sweeps.executors import local_executor
from coopetition.train.sweeps.sweep import make_sweep
from coopetition.train.sweeps.sweep_run import RECORD
from coopetition.train.sweeps.sweep_tables import write_sweep_tables
from coopetition.train.sweeps.tasks import ATTEMPTS, Task, TaskResult, make_tasks


@pytest.fixture(scope="module")
def workers():
    with local_executor(2) as executor:
        yield executor


def test_a_killed_worker_loses_nothing_and_nothing_is_trained_twice(undisturbed, tmp_path, workers):
    names = [member.name for member in sweep().members]
    victim = tmp_path / "sweep" / names[1]

    def kill():
        os.kill(eventually(lambda: half_way(victim)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = go(tmp_path / "sweep", workers)
    killer.join()
    assert not result.failed, result.summary()
    tried = {name: attempts(tmp_path / "sweep" / name) for name in names}
    assert {name: len(each) for name, each in tried.items()} == {
        n: 1 + (n == names[1]) for n in names
    }
    first, second = tried[names[1]]
    assert second["process"] != first["process"]
    assert second["from_sequences"] > 0
    assert curves(tmp_path / "sweep") == curves(undisturbed)


def test_what_is_finished_is_not_touched_again(undisturbed, workers):
    def state():
        return {path: path.stat().st_mtime_ns for path in undisturbed.glob("*/*")}

    before = state()
    result = go(undisturbed, workers, resume=True)
    assert not result.failed
    assert state() == before
    with pytest.raises(ValueError, match="holds a sweep already: continue it with --resume"):
        go(undisturbed, workers)


def test_a_sweep_that_grows_trains_what_is_new(tmp_path):
    go(tmp_path / "sweep", InThisProcess(), wanted=make_sweep(base(), grid={"run.seed": [0]}))
    grown = make_sweep(base(), grid={"run.seed": [0, 1]})
    result = go(tmp_path / "sweep", InThisProcess(), wanted=grown, resume=True, largest=8)
    assert [run.attempts for run in result.runs] == [1, 1]
    assert [len(attempts(run.folder)) for run in result.runs] == [1, 1]


def base(**run):
    short = {**COMMON["run"], "sequences": 400, **run}
    return TrainingSettings(name="short", **{**COMMON, "run": short})


def test_a_failure_is_told_and_stops_nobody(tmp_path):
    explode = {"optimisation.optimizer": "sgd", "optimisation.lr": 1e30}
    wanted = make_sweep(base(), runs=[{"name": "bad", **explode}, {"name": "good"}])
    result = go(tmp_path / "sweep", InThisProcess(), wanted=wanted)
    bad, good = result.runs
    assert (bad.status, good.status) == ("failed", "finished")
    assert bad.attempts == 1  # it would fail again
    assert "no longer finite" in bad.error
    assert "1 of 2 runs finished" in result.summary()
    _, table = write_sweep_tables(result)
    rows = pd.read_csv(table, index_col="run")
    assert rows.loc["bad", "error"] == bad.error
    assert rows.loc["bad", "optimisation.lr"] == 1e30


def test_a_damaged_record_is_told(tmp_path):
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(TrainingError.__base__, match="damaged"):
        go(tmp_path, InThisProcess(), resume=True)


def test_an_ensemble_is_one_task_with_a_member_that_diverges(tmp_path):
    sgd = {"optimisation.optimizer": "sgd"}
    runs = [{"name": "a", **sgd}, {"name": "b", **sgd, "optimisation.lr": 1e30}]
    wanted = make_sweep(base(), runs=runs)
    result = go(tmp_path / "sweep", InThisProcess(), wanted=wanted, largest=2)
    assert [run.status for run in result.runs] == ["finished", "diverged"]
    assert {run.folder.parent.name for run in result.runs} == {"a_and_1_more"}
    assert result.runs[0].curves.last_sequence == 400


@pytest.mark.parametrize("more", [{}, {"run.sequences": 800}])
def test_a_group_is_kept_where_one_of_its_runs_is_wanted_no_more(tmp_path, more):
    def wanted(*names, **changes):
        return make_sweep(base(), runs=[{"name": name, **changes} for name in names])

    folder = tmp_path / "sweep"
    first = go(folder, InThisProcess(), wanted=wanted("a", "b"), largest=2)
    for names in (("a", "c"), ("c", "a", "b")):
        result = go(folder, InThisProcess(), wanted=wanted(*names, **more), largest=2, resume=True)
        assert [run.status for run in result.runs] == ["finished"] * len(names), result.summary()
        of_name = {run.settings.name: run for run in result.runs}
        assert of_name["a"].folder == first.runs[0].folder
        assert of_name["a"].attempts == (2 if more else 1)
        assert of_name["c"].folder.parent == folder
    assert of_name["b"].folder == first.runs[1].folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_hold_every_run(undisturbed, workers, suffix):
    result = go(undisturbed, workers, resume=True)
    curves_at, runs_at = write_sweep_tables(result, suffix=suffix)
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    table, rows = read(curves_at), read(runs_at)
    for run in result.runs:
        own = table[table["run"] == run.settings.name].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, run.curves.to_table(), check_exact=True)
    assert list(rows["run"]) == [run.settings.name for run in result.runs]
    assert list(rows["run.seed"]) == [0, 1, 0, 1]
    assert set(rows["status"]) == {"finished"}
    assert set(rows["verdict"]) <= {"never", "transient", "persistent"}
    assert list(rows["final_flip"]) == [run.curves.curve("flip").values[-1] for run in result.runs]
    with pytest.raises(ValueError, match="use csv or parquet"):
        write_sweep_tables(result, suffix="xlsx")


def die_once(task):
    """Stands in for training: the first to try kills its process, which breaks a pool."""
    folder = Path(task.folder)
    folder.mkdir(exist_ok=True)
    try:
        (folder / "tried").touch(exist_ok=False)
    except FileExistsError:
        return TaskResult(runs=({"name": task.names[0]},))
    os.kill(os.getpid(), signal.SIGKILL)


def tasks_in(folder, count):
    return [Task(folder=str(folder / f"{i}"), members=({"name": f"{i}"},)) for i in range(count)]


class Notes(SweepBar):
    """A bar that remembers."""

    def __init__(self):
        self.notes, self.counts = [], []

    def note(self, text):
        self.notes.append(text)

    def count(self, done, running, failed):
        self.counts.append((done, failed))


def test_a_broken_pool_is_replaced(tmp_path):
    context = multiprocessing.get_context("spawn")
    bar = Notes()
    results = dispatch(
        tasks_in(tmp_path, 2),
        lambda: ProcessPoolExecutor(1, context),
        retries=3,
        bar=bar,
        work=die_once,
    )
    assert [result.error for result in results] == ["", ""]
    assert any("its worker died; trying again" in note for note in bar.notes)
    assert bar.counts[-1] == (2, 0)


def test_retries_end(tmp_path):
    bar = Notes()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        (result,) = dispatch(tasks_in(tmp_path, 1), pool, retries=0, bar=bar, work=die_once)
    assert result.error == "its worker died"
    assert bar.counts[-1] == (0, 1)
    with pytest.raises(ValueError, match="retries = -1"):
        dispatch([], pool, retries=-1, bar=bar)
    with pytest.raises(ValueError, match="workers = 0"):
        local_executor(0)


def test_a_process_that_dies_before_it_reads_its_task_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    large = Task(folder=str(tmp_path), members=({"name": "a", "source": "x" * 2**20},))
    assert task_process.train_task(large) == TaskResult(error="its worker died", retry=True)


def test_what_goes_wrong_unforeseen_is_told_and_may_be_tried_again(tmp_path, workers):
    (result,) = dispatch(tasks_in(tmp_path, 1), workers, retries=0, bar=Notes(), work=absent)
    assert result == TaskResult(error="KeyError: 'absent'", retry=True)
    broken = Task(folder=str(tmp_path / "broken"), members=({"name": "a"},), device=None)
    result = task_process.train_task(broken)
    assert result.error.startswith("TypeError: ")
    assert result.retry


def absent(task):
    raise KeyError("absent")


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_will_do_and_begins_nothing_more_when_stopped(tmp_path, pool):
    more = (
        {"mp_context": multiprocessing.get_context("spawn")} if pool != ThreadPoolExecutor else {}
    )
    with pool(1, **more) as executor:
        tasks = tasks_in(tmp_path, 6)
        results = dispatch(tasks, executor, retries=2, bar=Notes(), work=slow)
    errors = [result.error for result in results]
    awaited = pool == ThreadPoolExecutor  # a process elsewhere goes on where it is
    assert errors == [""] * awaited + ["interrupted; continue with --resume"] * (6 - awaited)


def slow(task):
    if Path(task.folder).name == "0":  # as Ctrl-C while it runs
        os.kill(os.getppid() if multiprocessing.parent_process() else os.getpid(), signal.SIGINT)
    time.sleep(1)
    return TaskResult()


def test_a_second_ctrl_c_stops_what_runs_as_well(tmp_path, workers):
    folder = tmp_path / "sweep"
    first = folder / sweep().members[0].name

    def interrupt_twice():
        eventually(lambda: half_way(first))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # two at once would be one
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_twice)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        go(folder, workers)
    thread.join()
    for begun in folder.glob(f"*/{ATTEMPTS}"):
        assert not alive(attempts(begun.parent)[-1]["process"])
        assert not (begun.parent / LOCK).exists()


def test_workers_see_a_cuda_device_each():
    together = threading.Barrier(2)

    def device():
        together.wait()
        return task_process.here.device

    with local_executor(2, devices=("3", "5")) as executor:
        seen = [executor.submit(device) for _ in range(4)]
        assert {future.result() for future in seen} == {"3", "5"}


def test_a_process_sees_the_device_of_its_worker(tmp_path, monkeypatch):
    environments = []

    class Refused(OSError):
        pass

    def refuse(*args, env, **kwargs):
        environments.append(env.get("CUDA_VISIBLE_DEVICES"))
        raise Refused

    monkeypatch.setattr(task_process.subprocess, "Popen", refuse)
    with local_executor(1, devices=("7",)) as executor, pytest.raises(Refused):
        executor.submit(task_process.train_task, tasks_in(tmp_path, 1)[0]).result()
    assert environments == ["7"]


def test_a_folder_at_work_is_left_alone(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(task_process, "PATIENCE", 0.0)
    (task,) = make_tasks([base()], tmp_path)
    with owned(Path(task.folder)):
        result = task_process.train_here(task)
    assert "is being trained by process" in result.error
    assert result.retry
    assert attempts(Path(task.folder)) == []
    with owned(tmp_path), pytest.raises(FolderTaken):
        go(tmp_path, workers)


def test_the_runs_of_a_sweep_are_read_with_their_settings(undisturbed):
    seeds = {run.run: run.settings["seed"] for run in read_curves(undisturbed)}
    assert seeds == {member.name: member.run.seed for member in sweep().members}
