"""The paper's runs as files, and the pictures made of them, on runs that take a second."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coopetition.train.sweeps.sweep import read_sweep
from coopetition.train.sweeps.sweep_run import train_sweep
from coopetition.train.sweeps.sweep_tables import write_sweep_tables
from coopetition.train.sweeps.tasks import make_tasks

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "examples" / "paper_runs").glob("*.yaml"))
# runs of each file, and the ensembles that a GPU trains them as
EXPECTED = {
    "classes": (16, 4),
    "main": (8, 1),
    "match_share": (10, 1),
    "omniglot": (8, 1),
    "positions": (6, 3),
    "spread": (16, 1),
    "weight_decay": (12, 2),
    "width": (6, 3),
}
TINY = [
    "data.n_classes=12", "data.n_exemplars=3", "data.dim=4", "network.width=8", "network.heads=2",
    "optimisation.batch_size=4", "evaluation.n_sequences=20", "evaluation.every=40",
    "run.sequences=160",
]  # fmt: skip


def test_every_file_is_expected():
    assert [path.stem for path in FILES] == sorted(EXPECTED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_describe_the_papers_setting_in_few_ensembles(path, tmp_path):
    sweep = read_sweep(path)
    assert sweep.name == path.stem
    tasks = make_tasks(sweep.members, tmp_path, largest=32)
    assert (len(sweep.members), len(tasks)) == EXPECTED[path.stem]
    for member in sweep.members:
        assert member.run.sequences == 20_000_000
        assert (member.network.depth, member.optimisation.lr) == (2, 1e-5)
        assert not member.run.per_sequence
        assert member.run.kernels == "auto"
    text = path.read_text(encoding="utf-8")
    assert f"examples/paper_runs/{path.name} --executor local" in text
    assert f"-o paper/{path.stem}" in text


def test_pictures_are_drawn_of_trained_runs(tmp_path):
    paper = tmp_path / "paper"
    for path in FILES:
        if path.stem in ("main", "width"):
            varied = read_sweep(path).varied
            shrunk = [change for change in TINY if change.partition("=")[0] not in varied]
            result = train_sweep(
                read_sweep(path, overrides=shrunk), paper / path.stem,
                executor=ThreadPoolExecutor(1), largest=32, device="cpu", progress=False,
            )  # fmt: skip
            assert not result.failed
            write_sweep_tables(result)
    script = ROOT / "examples" / "paper_runs.py"
    done = subprocess.run(
        [sys.executable, str(script), str(paper), str(tmp_path / "pictures")],
        check=True, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.stdout.count("peak flip") == 8 + 6
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["figure_1b_main.png", "figure_6a_main.png", "main.png", "width.png"]


def test_without_runs_it_says_how_to_train_some(tmp_path):
    script = ROOT / "examples" / "paper_runs.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "coopetition train --settings" in done.stderr
