"""The commands for toy models, called as the installed entry point."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result


@pytest.fixture(scope="module")
def command() -> click.Command:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    loaded = entry.load()
    assert isinstance(loaded, click.Command)
    return loaded


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], prog_name="coopetition")


def test_the_catalogue_is_listed(command: click.Command) -> None:
    result = run(command, "models")
    assert result.exit_code == 0
    for name in ("coopetition", "induction", "independent", "cooperation", "decay"):
        assert name in result.stdout


def test_equations_are_printed(command: click.Command) -> None:
    assert "dx_a/dt = " in run(command, "equations", "induction", "--form", "ode").stdout
    assert r"\frac" in run(command, "equations", "induction", "--latex").stdout


def test_integrate_prints_one_json_object_with_the_promised_keys(command: click.Command) -> None:
    result = run(command, "integrate", "coopetition", "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert {"model", "parameters", "method", "stopped_at", "final", "landmarks"} <= set(said)
    assert set(said["final"]) == {"total", "icl", "ciwl", "cost"}
    assert set(said["landmarks"]) == {"emergence", "peak", "peak_flip", "crossover", "vanishing"}
    assert said["verdict"] == "transient"
    assert said["horizon"] == 16000.0
    assert said["stopped_at"] is None


def test_icl_persists_without_a_floor(command: click.Command) -> None:
    """mu1 = 0 is the model of exact matches, in which ICL persists (arXiv 2503.05631, sec. 6)."""
    said = json.loads(run(command, "integrate", "coopetition", "-p", "mu1=0", "--json").stdout)
    assert said["verdict"] == "persistent"
    assert said["landmarks"]["crossover"] is None


def test_the_table_holds_losses_and_strengths(command: click.Command, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    result = run(command, "integrate", "coopetition", "--until", 8000, "-o", path)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(path)
    assert list(table) == [
        "time", "total", "icl", "ciwl", "cost", "icl_strength", "ciwl_strength",
    ]  # fmt: skip
    assert np.all(np.diff(table["total"]) <= 0)  # a gradient flow only descends
    about = json.loads((tmp_path / "run.csv.about.json").read_text())
    assert about["settings"]["model"] == "coopetition"
    assert about["seed"] == 0


@pytest.mark.parametrize(("seed", "stop"), [(1, 14482), (7, 9620), (8, 4244), (2, None)])
def test_descent_stops_where_the_authors_notebook_says(
    command: click.Command,
    tmp_path: Path,
    toy_reference: Mapping[str, Any],
    seed: int,
    stop: int | None,
) -> None:
    names = [f"{kind}_{vector}" for kind in ("init", "true") for vector in "abcd"]
    vectors = {name: toy_reference[f"seed{seed:02d}_{name}"] for name in names}
    np.savez(tmp_path / "start.npz", **vectors)
    result = run(
        command, "integrate", "coopetition", "--start", tmp_path / "start.npz", "--method",
        "descent", "--step-size", 1, "--stop-below", "1e-6", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["stopped_at"] == stop


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["integrate", "coopetion"], "did you mean 'coopetition'"),
        (["integrate", "coopetition", "-p", "mu=1"], "did you mean 'mu2'|did you mean 'mu1'"),
        (["integrate", "coopetition", "-p", "mu1"], "write name=value"),
        (["integrate", "coopetition", "-p", "mu1=a"], "is not a number"),
        (["integrate", "coopetition", "-p", "mu1=1", "-p", "mu1=2"], "given twice"),
        (["integrate", "coopetition", "-p", "n_d=2.5"], "whole dimension"),
        (["integrate", "coopetition", "--step-size", "1"], "--method descent"),
        (["integrate", "coopetition", "--until", "-1"], "until must be"),
        (["integrate", "coopetition", "--plot", "x.txt"], r"\.png"),
        (["integrate", "coopetition", "-o", "x.txt"], r"\.csv or \.parquet"),
        (["integrate", "coopetition", "--modified", "nan"], "--modified nan: give a finite step"),
        (["integrate", "coopetition", "--every", "2"], "--every 2 is for --method descent"),
        (["integrate", "coopetition", "--method", "descent", "--until", "1e9"], r"59\.6 GiB"),
        (["phase", "coopetition", "-p", "mu1=log:0:1:3"], r"-p mu1: 0 in .* has no logarithm"),
        (["equations", "coopetition", "--form", "x"], "Invalid value"),
    ],
)
def test_bad_input_is_told_in_a_line_and_exits_with_2(
    command: click.Command, arguments: list[str], said: str
) -> None:
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert re.search(said, result.stderr)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"--method": "descent", "--step-size": 0.5, "--every": 3, "--stop-below": 1e-5},
        {"--method": "descent", "--step-size": 1.0},
        {"--modified": 0.5, "--rtol": 1e-6, "--atol": 1e-9, "--gain-icl": 5.0, "--gain-ciwl": 6.0},
    ],
)
def test_a_result_tells_all_that_was_asked_for(
    command: click.Command, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "run.csv"
    given = [str(part) for pair in options.items() for part in pair]
    assert run(command, "integrate", "coopetition", *given, "-o", path).exit_code == 0
    settings = json.loads((tmp_path / "run.csv.about.json").read_text())["settings"]
    for option, value in options.items():
        assert settings[option.removeprefix("--").replace("-", "_")] == value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 74.5 GiB"), r"^Error: out of memory .*74\.5 GiB"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "^$"),
    ],
)
def test_a_lack_of_memory_is_stated_and_a_reader_that_left_is_no_error_to_state(
    command: click.Command, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail() -> None:
        raise error

    assert isinstance(command, click.Group)
    monkeypatch.setattr(command.commands["models"], "callback", fail)
    result = run(command, "models")
    assert result.exit_code == 1
    assert re.search(said, result.stderr)


def test_a_failed_integration_exits_with_1(command: click.Command) -> None:
    result = run(
        command, "integrate", "coopetition", "--method", "descent", "--step-size", 50, "--until",
        5000,
    )  # fmt: skip
    assert result.exit_code == 1
    assert "smaller step size" in result.stderr


def test_pictures_and_phase_diagrams_are_drawn(command: click.Command, tmp_path: Path) -> None:
    picture, diagram = tmp_path / "run.png", tmp_path / "phase.svg"
    assert run(command, "integrate", "coopetition", "--plot", picture).exit_code == 0
    result = run(
        command, "phase", "coopetition", "-p", "alpha=0.03,0.3", "-p", "mu1=log:0.01:0.3:3",
        "--starts", 2, "--plot", diagram, "-o", tmp_path / "phase.parquet",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in diagram.read_bytes()
    assert len(pd.read_parquet(tmp_path / "phase.parquet")) == 6
