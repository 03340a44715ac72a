"""Sweeps from the command line and on clusters: stopped, killed and continued all the same."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from small_sweeps import (
    COMMON,
    GRID,
    PATIENCE,
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
from coopetition.train.sweeps import executors
from coopetition.train.sweeps.executors import SubmititExecutor, open_executor

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="distributed is not installed"
)
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit is not installed"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_sweep_whose_command_ends_early_is_continued(undisturbed, tmp_path, number):
    plain = {**COMMON, "name": "small", "grid": GRID}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    command = [
        *(sys.executable, "-c", "from coopetition_cli import main; main()", "train"),
        *("--settings", str(tmp_path / "sweep.yaml"), "--executor", "local", "--workers", "1"),
        *("--device", "cpu", "--resume", "--json", "-o", str(tmp_path / "sweep")),
    ]
    first = tmp_path / "sweep" / sweep().members[0].name
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker = eventually(lambda: half_way(first) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    if number == signal.SIGINT:
        assert process.returncode == 1
        assert "did not finish" in said
        assert "continue with --resume" in said
    eventually(lambda: not alive(worker))  # no worker outlives the command for long
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    runs = json.loads(done.stdout)["runs"]
    assert [run["status"] for run in runs] == ["finished"] * 4
    assert [run["attempts"] for run in runs] == [2, 1, 1, 1]
    assert attempts(first)[1]["from_sequences"] > 0
    assert curves(tmp_path / "sweep") == curves(undisturbed)


@pytest.fixture
def coopetition():
    (entry,) = entry_points(group="console_scripts", name="coopetition")
    command = entry.load()
    return lambda *arguments: CliRunner().invoke(command, [str(a) for a in arguments])


def test_a_failed_run_gives_exit_code_1_after_the_others_are_done(coopetition, tmp_path):
    explode = {"name": "bad", "optimisation.optimizer": "sgd", "optimisation.lr": 1e30}
    short = {**COMMON, "run": {"sequences": 400}, "runs": [explode, {"name": "good"}]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(short, sort_keys=False))
    arguments = ("--device", "cpu", "--workers", 1, "--tables", "parquet")
    result = coopetition("train", tmp_path / "sweep.yaml", *arguments, "-o", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert "1 of 2 runs finished" in result.stdout
    assert "bad: failed: the loss is no longer finite" in result.stdout
    assert "running=1, failed=0" in result.stderr
    assert "1/2" in result.stderr
    assert "such as bad: the loss is no longer finite" in result.stderr
    assert (tmp_path / "out" / "sweep_runs.parquet").is_file()
    (good,) = read_curves(tmp_path / "out", run="good")
    assert good.last_sequence == 400
    again = coopetition("train", tmp_path / "sweep.yaml", *arguments, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "continue it with --resume" in again.output


def test_seeds_of_any_settings_are_spread_with_an_executor(coopetition, tmp_path):
    given = {**COMMON, "run": {**COMMON["run"], "sequences": 400}}
    small = [f"-s{section}.{k}={v}" for section in given for k, v in given[section].items()]
    result = coopetition(
        *("train", "--settings", "cpu-never", *small, "--seeds", 2),
        *("--executor", "local", "--workers", 1, "--ensemble", 2, "--device", "cpu"),
        *("-o", tmp_path, "--json", "--quiet"),
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [run["name"] for run in said["runs"]] == ["cpu-never-seed0", "cpu-never-seed1"]
    assert {run["sequences"] for run in said["runs"]} == {400}
    assert Path(said["curves"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sweep.yaml", "cpu-never"], "is a sweep; give it alone"),
        (["sweep.yaml", "--executor", "slrum"], "did you mean 'slurm'"),
        (["sweep.yaml", "--slurm", "time"], "write name=value"),
        (["sweep.yaml", "-s", "network.widht=3"], "did you mean 'network.width'"),
        (["sweep.yaml", "--seeds", "2"], "lists run.seed already"),
    ],
)
def test_wrong_usage_of_a_sweep_has_exit_code_2(
    coopetition, tmp_path, monkeypatch, arguments, says
):
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text("grid: {run.seed: [0, 1]}\n")
    result = coopetition("train", *arguments, "--device", "cpu", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert says in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("lokal", "did you mean 'local'"),
        ("dask", "dask:ADDRESS"),
        ("local:3", "unknown executor"),
    ],
)
def test_unknown_executors_are_told(tmp_path, kind, says):
    with pytest.raises(ValueError, match=says), open_executor(kind, folder=tmp_path):
        pass


@pytest.mark.parametrize(("kind", "extra"), [("dask:tcp://h:1", "dask"), ("slurm", "slurm")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, kind, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    says = rf"is not installed; pip install 'coopetition\[{extra}\]'"
    with pytest.raises(ValueError, match=says), open_executor(kind, folder=tmp_path):
        pass


@needs_dask
def test_a_killed_dask_worker_loses_nothing(undisturbed, tmp_path):
    from distributed import LocalCluster

    victim = tmp_path / "sweep" / sweep().members[0].name
    killed = []

    def kill():
        killed.append(eventually(lambda: half_way(victim)))
        os.kill(killed[0], signal.SIGKILL)

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as cluster:
        killer = threading.Thread(target=kill)
        killer.start()
        with open_executor(f"dask:{cluster.scheduler_address}", folder=tmp_path) as executor:
            result = go(tmp_path / "sweep", executor)
        killer.join()
    assert not result.failed, result.summary()
    first, *others = [attempts(run.folder) for run in result.runs]
    assert [each["process"] == killed[0] for each in first] == [True, False]
    assert first[1]["from_sequences"] > 0
    assert [len(each) for each in others] == [1, 1, 1]
    assert curves(tmp_path / "sweep") == curves(undisturbed)


@needs_dask
def test_a_scheduler_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "DASK_TIMEOUT", 0.2)
    with (
        pytest.raises(TrainingError, match="no dask scheduler answers"),
        open_executor("dask:tcp://127.0.0.1:9", folder=tmp_path),
    ):
        pass


@needs_submitit
def test_jobs_of_submitit_train_a_sweep(undisturbed, tmp_path):
    import submitit

    parameters = {"timeout_min": 5}
    with SubmititExecutor(
        submitit, tmp_path / "jobs", jobs=2, parameters=parameters, cluster="local"
    ) as executor:
        result = go(tmp_path / "sweep", executor)
    assert not result.failed, result.summary()
    assert len({attempts(run.folder)[0]["process"] for run in result.runs}) == 4  # a job each
    assert curves(tmp_path / "sweep") == curves(undisturbed)
    with pytest.raises(ValueError, match="slurm = "):
        SubmititExecutor(submitit, tmp_path, jobs=1, parameters={"tiem": 5}, cluster="local")


@needs_submitit
def test_slurm_is_missed_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(TrainingError, match="run on a login node"),
        open_executor("slurm", folder=tmp_path / "jobs"),
    ):
        pass
