"""The commands for toy models, called as the installed entry point."""

from __future__ import annotations

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
        (["phase", "coopetition", "-p", "mu1=log:0:1:3"], "cannot read the values"),
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
