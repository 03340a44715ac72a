"""The demo leaves what it names, and its fit is the paper's run."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from coopetition.fitting import read_fits

# root-mean-square errors that the paper's model reaches on its own run with one pair of gains
REACHED = {"train": 0.02, "icl": 0.05, "ciwl": 0.035, "flip": 0.04}


def test_the_quick_demo_fits_the_published_run(tmp_path: Path) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    folder = tmp_path / "demo"
    result = CliRunner().invoke(entry.load(), ["demo", "--quick", "-o", str(folder)])
    assert result.exit_code == 0, result.stderr
    assert str(folder) in result.stdout
    made = {path.name for path in folder.iterdir()}
    assert made >= {
        "toy_model.csv", "toy_model.png", "toy_model_phase.png", "fit_main.png", "starts.png",
        "fit.json",
    }  # fmt: skip
    (fit,) = read_fits(folder / "fit.json")
    for evaluator, bound in REACHED.items():
        assert fit.rmse[evaluator] <= bound
    assert "verdict at 20,000,000 sequences, fitted: ICL is transient" in result.stdout

    page = folder / "report.html"
    reported = CliRunner().invoke(
        entry.load(), ["report", str(folder / "fit.json"), "-o", str(page)]
    )
    assert reported.exit_code == 0, reported.stderr
    assert "coopetition fitted to main" in page.read_text("utf-8")


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_and_on_where_it_stopped(tmp_path: Path) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    folder = tmp_path / "demo"
    arguments = ["demo", "--starts", "4", "-o", str(folder)]
    first = CliRunner().invoke(entry.load(), arguments)
    assert first.exit_code == 0, first.stderr
    verdicts = json.loads((folder / "proposals" / "verdicts.json").read_text())
    assert verdicts["score"]["total"] == 1
    again = CliRunner().invoke(entry.load(), arguments)
    assert again.exit_code == 0, again.stderr
    assert "predictions are never rewritten" in again.stdout
