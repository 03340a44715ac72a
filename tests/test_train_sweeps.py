"""Sweeps from files, their tasks, and who owns a folder."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.settings.training import TrainingSettings
from coopetition.train.folder.ownership import OWNER, FolderTaken, owned
from coopetition.train.sweeps.sweep import Sweep, is_sweep, make_sweep, read_sweep
from coopetition.train.sweeps.tasks import FINISHED, Task, finished_runs, make_tasks

ROOT = Path(__file__).parents[1]


def names(sweep):
    return [member.name for member in sweep.members]


def write(path, text):
    path.write_text(text)
    return path


def test_a_grid_is_every_combination():
    sweep = make_sweep(
        TrainingSettings(name="map"),
        grid={"sequences.match_probability": [0, 0.5], "run.seed": [3, 4]},
    )
    assert sweep.name == "map"
    assert sweep.varied == ("sequences.match_probability", "run.seed")
    assert names(sweep) == [
        *("match_probability=0_seed=3", "match_probability=0_seed=4"),
        *("match_probability=0.5_seed=3", "match_probability=0.5_seed=4"),
    ]
    values = [(m.sequences.match_probability, m.run.seed) for m in sweep.members]
    assert values == [(0, 3), (0, 4), (0.5, 3), (0.5, 4)]


def test_entries_belong_together_and_meet_every_combination():
    sweep = make_sweep(
        TrainingSettings(),
        runs=[{}, {"name": "strong", "optimisation.weight_decay": 1, "data.n_classes": 50}],
        grid={"run.seed": [0, 1]},
    )
    assert names(sweep) == ["seed=0", "seed=1", "strong_seed=0", "strong_seed=1"]
    assert [m.data.n_classes for m in sweep.members] == [12_800, 12_800, 50, 50]
    assert sweep.members[3].optimisation.weight_decay == 1
    assert sweep.varied == ("optimisation.weight_decay", "data.n_classes", "run.seed")


def test_names_tell_settings_of_one_name_apart_and_hold_no_separators():
    sweep = make_sweep(
        TrainingSettings(data={"kind": "embeddings"}),
        runs=[{"evaluation.batch_size": 5, "optimisation.batch_size": 8, "data.path": "a/b c.h5"}],
    )
    assert names(sweep) == ["evaluation.batch_size=5_optimisation.batch_size=8_path=a-b-c.h5"]


def test_a_file_is_settings_with_what_varies(tmp_path):
    path = write(
        tmp_path / "mine.yaml",
        "preset: cpu-never\nrun: {sequences: 500}\ngrid:\n  optimisation.lr: [3e-4, 1e-3]\n",
    )
    sweep = read_sweep(path, overrides=["network.width=32"], seeds=2)
    assert is_sweep(path)
    assert sweep.name == "mine"
    assert {m.data.spread for m in sweep.members} == {1.0}
    assert {(m.run.sequences, m.network.width) for m in sweep.members} == {(500, 32)}
    assert [(m.optimisation.lr, m.run.seed) for m in sweep.members] == [
        *((3e-4, 0), (3e-4, 1), (1e-3, 0), (1e-3, 1)),
    ]


def test_settings_of_one_run_are_no_sweep(tmp_path):
    assert not is_sweep(write(tmp_path / "one.yaml", "network: {width: 32}\n"))
    assert not is_sweep("cpu-never")
    assert names(read_sweep(tmp_path / "one.yaml")) == ["one"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grid: {network.widht: [1]}", "did you mean 'network.width'"),
        ("grid: {network.width: 8}", "give a list of values"),
        ("grid: {network.width: []}", "give a list of values"),
        ("grid: {network.width: [64, -1]}", "network.width = -1"),
        ("grid: {run.seed: [1, 1]}", "2 runs named 'seed=1'"),
        ("grid: {name: [a, b]}", "runs are named by what varies"),
        ("grid: [1]", "section.name: "),
        ("runs: {a: 1}", "write a list of entries"),
        ("runs: [3]", "has the entry 3"),
        ("grid: {run.seed: [0]}\nruns: [{run.seed: 5}]", "run.seed is given twice"),
        ("grid: {run.seed: [0]}\ngrid: {}", "'grid' is given twice"),
        ("runs: [{name: a/b}]", "a run's name is a folder's"),
        ("runs: [{name: ..}]", "a run's name is a folder's"),
        ("gird: {run.seed: [1]}\nruns: []", "unknown training setting 'gird'"),
        ("[1, 2]", "expected sections"),
    ],
)
def test_a_wrong_file_is_told_with_its_name_and_the_remedy(tmp_path, text, says):
    path = write(tmp_path / "sweep.yaml", text + "\n")
    with pytest.raises(ValueError, match=r"sweep\.yaml") as error:
        read_sweep(path)
    assert says in str(error.value)


def test_a_change_that_the_grid_would_undo_is_refused(tmp_path):
    path = write(tmp_path / "sweep.yaml", "grid: {run.seed: [0, 1]}\n")
    assert len(read_sweep(path, overrides=["network.width=8"]).members) == 2
    with pytest.raises(ValueError, match=r"run\.seed is given twice: as a change and in grid"):
        read_sweep(path, overrides=["run.seed=3"])


def test_seeds_are_given_once():
    with pytest.raises(ValueError, match=r"lists run\.seed already"):
        make_sweep(TrainingSettings(), grid={"run.seed": [0]}, seeds=2)
    with pytest.raises(ValueError, match="has no run"):
        Sweep(name="empty", members=())


def test_every_sweep_among_the_examples_can_be_read():
    sweeps = [path for path in (ROOT / "examples").glob("*.yaml") if is_sweep(path)]
    assert sweeps
    for path in sweeps:
        assert len(read_sweep(path).members) > 1


def mixed():
    grid = {"network.width": [16, 32], "optimisation.lr": [1e-3, 2e-3], "run.seed": [0, 1]}
    return make_sweep(TrainingSettings(), grid=grid).members


def test_runs_that_differ_in_numbers_alone_come_together(tmp_path):
    tasks = make_tasks(mixed(), tmp_path, largest=3)
    assert [len(task.members) for task in tasks] == [3, 1, 3, 1]
    for task in tasks:
        assert len({settings.network.width for settings in task.settings()}) == 1
    assert sorted(name for task in tasks for name in task.names) == sorted(
        member.name for member in mixed()
    )
    assert len({task.folder for task in tasks}) == len(tasks)


def test_a_task_is_one_run_unless_more_are_asked_for(tmp_path):
    tasks = make_tasks(mixed(), tmp_path)
    assert [Path(task.folder).name for task in tasks] == [member.name for member in mixed()]
    with pytest.raises(ValueError, match="at least 1 run"):
        make_tasks(mixed(), tmp_path, largest=0)


def test_groups_that_were_begun_stay(tmp_path):
    before = make_tasks(mixed()[:3], tmp_path, largest=2)
    begun = {Path(task.folder).name: task.names for task in before}
    after = make_tasks(mixed(), tmp_path, largest=1, begun=begun)
    kept = {Path(task.folder).name: task.names for task in after if len(task.members) > 1}
    assert kept == {name: runs for name, runs in begun.items() if len(runs) > 1}
    assert sum(len(task.members) for task in after) == len(mixed())


@given(data=st.data(), largest=st.integers(1, 4))
def test_every_run_that_is_wanted_has_one_place_whatever_was_recorded(data, largest):
    members, nowhere = mixed(), Path("/nowhere")
    names = st.lists(st.sampled_from(members), unique_by=lambda member: member.name, min_size=1)
    before = make_tasks(data.draw(names), nowhere, largest=data.draw(st.integers(1, 4)))
    begun = {Path(task.folder).name: task.names for task in before}
    wanted = data.draw(names)
    tasks = make_tasks(wanted, nowhere, largest=largest, begun=begun)
    assert sorted(n for t in tasks for n in t.names) == sorted(member.name for member in wanted)
    assert len({task.folder for task in tasks}) == len(tasks)
    for task in tasks:
        recorded = begun.get(Path(task.folder).name)
        assert recorded is None or task.names == tuple(recorded)


def test_settings_come_back_from_a_task_as_they_were(tmp_path):
    (task,) = make_tasks([mixed()[1]], tmp_path)
    assert isinstance(task, Task)
    assert task.settings() == (mixed()[1],)


def test_finished_means_with_these_very_settings(tmp_path):
    (task,) = make_tasks([mixed()[0]], tmp_path)
    longer = {**task.members[0], "source": "elsewhere"}
    assert finished_runs(tmp_path, task.members) == []
    (tmp_path / FINISHED).write_text("{")
    assert finished_runs(tmp_path, task.members) == []
    record = {"members": task.members, "runs": [{"name": "a"}]}
    (tmp_path / FINISHED).write_text(json.dumps(record))
    assert finished_runs(tmp_path, task.members) == [{"name": "a"}]
    assert finished_runs(tmp_path, [longer]) == []


def test_a_folder_has_one_owner(tmp_path):
    mine = rf"{tmp_path.name}/run is being trained by process {os.getpid()} on"
    with owned(tmp_path / "run"), pytest.raises(FolderTaken, match=mine), owned(tmp_path / "run"):
        pass
    with owned(tmp_path / "run"):
        assert f'"process": {os.getpid()}' in (tmp_path / "run" / OWNER).read_text()


def test_of_many_that_try_at_once_one_owns_the_folder(tmp_path):
    """Each removes the file of its lock at the end, between another's opening and locking it."""
    inside, most = [], []

    def work():
        for _ in range(30):
            with owned(tmp_path, patience=60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 120
    assert not list(tmp_path.iterdir())


def test_a_dead_process_owns_nothing(tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from coopetition.train.folder.ownership import owned\n"
        "with owned(Path(sys.argv[1])):\n    print('mine', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(FolderTaken, match=f"process {holder.pid} on"), owned(tmp_path):
            pass
        holder.kill()
    with owned(tmp_path, patience=5):
        pass


def test_arrays_are_lists_of_values():
    rates, seeds = np.geomspace(1e-4, 1e-2, 3), np.arange(2)
    given = make_sweep(TrainingSettings(), grid={"optimisation.lr": rates, "run.seed": seeds})
    listed = {"optimisation.lr": rates.tolist(), "run.seed": seeds.tolist()}
    assert given == make_sweep(TrainingSettings(), grid=listed)
    for none in (np.array([]), np.array(1.0)):
        with pytest.raises(ValueError, match="give a list of values"):
            make_sweep(TrainingSettings(), grid={"optimisation.lr": none})
