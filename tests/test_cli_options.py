"""Outputs are refused before any work where they could not be written or would cost an input."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fitted_curves import TRUTH, made_by

from coopetition.logs import write_curves

(ENTRY,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
MAIN: click.Command = ENTRY.load()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(MAIN, [str(a) for a in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_curves(tmp_path / "log.csv", [made_by(TRUTH, points=20)])


# an option of each command that writes a file, and a name that it accepts
OUTPUTS = [
    ("fit", "-o", "x.json"),
    ("fit", "--plot", "x.png"),
    ("calibrate", "-o", "x.json"),
    ("report", "-o", "x.html"),
    ("propose", "-o", "x"),
    ("propose", "--plot", "x.png"),
]


@pytest.mark.parametrize(("command", "option", "name"), OUTPUTS)
def test_a_place_where_nothing_can_be_written_is_refused_and_named(
    command: str, option: str, name: str, log: Path
) -> None:
    for place in (log, Path("/proc")):  # a file where a folder should be, a folder of the kernel's
        result = run(command, log, option, place / name)
        assert result.exit_code == 2, result.output
        assert f"{option} {place / name}" in result.stderr
        assert "choose another place" in result.stderr


@pytest.mark.parametrize(
    ("option", "name"), [("-o", "x.csv"), ("-o", "x.parquet"), ("--plot", "x.svg")]
)
@pytest.mark.parametrize("command", ["integrate", "phase"])
def test_so_is_one_for_what_toy_models_do(command: str, option: str, name: str, log: Path) -> None:
    result = run(command, "coopetition", option, log / name)
    assert result.exit_code == 2
    assert f"{log} is not a folder" in result.stderr


def test_an_unwritable_map_is_refused_before_proposals_are_trained(tmp_path: Path) -> None:
    result = run("verify", tmp_path, "--update", "/proc/map.json")
    assert result.exit_code == 2
    assert "--update /proc/map.json: nothing can be written in" in result.stderr


@pytest.mark.parametrize("command", ["fit", "calibrate", "report"])
def test_no_output_replaces_an_input(command: str, tmp_path: Path, log: Path) -> None:
    suffix = ".html" if command == "report" else ".json"
    given = log.rename(log.with_suffix(suffix))
    (tmp_path / "sub").mkdir()
    (tmp_path / f"link{suffix}").symlink_to(given)
    before = given.read_bytes()
    for other in (given, tmp_path / "sub" / ".." / given.name, tmp_path / f"link{suffix}"):
        result = run(command, given, "-o", other)
        assert result.exit_code == 2
        assert f"-o {other} would replace an input: choose another name" in result.stderr
    assert given.read_bytes() == before


def test_nor_a_record_in_a_folder_that_is_read(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log.rename(folder / "curves.csv")
    (folder / "run.json").write_text("{}")
    result = run("fit", folder, "-o", folder / "run.json")
    assert result.exit_code == 2
    assert "would replace an input" in result.stderr
    for name in ("map.json", "proposals.json", "verdicts.json"):
        (folder / name).write_text("{}")
        result = run("verify", folder, "--update", folder / name)
        assert result.exit_code == 2
        assert "would replace an input" in result.stderr


def test_nor_the_start_of_a_trajectory_or_the_matrix_of_classes(tmp_path: Path) -> None:
    given = tmp_path / "start.csv"
    with given.open("wb") as file:
        np.save(file, np.zeros(3))
    for arguments in (("integrate", "coopetition", "--start", given), ("embeddings", given)):
        result = run(*arguments, "-o", given)
        assert result.exit_code == 2
    assert np.load(given).shape == (3,)


@pytest.mark.parametrize(("command", "name"), [("fit", "x.csv"), ("calibrate", "x.html")])
def test_json_goes_into_files_called_so(command: str, name: str, log: Path) -> None:
    result = run(command, log, "-o", log.parent / name)
    assert result.exit_code == 2
    assert "end its name in .json" in result.stderr
