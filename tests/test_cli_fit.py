"""`coopetition fit`, called as the installed entry point."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from fitted_curves import TRUTH, made_by, noisy
from hypothesis import given
from hypothesis import strategies as st

from coopetition.fitting import read_fits
from coopetition.logs import write_curves


@pytest.fixture(scope="module")
def command() -> click.Command:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    return entry.load()


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("log") / "run.csv"
    write_curves(path, [noisy(made_by(TRUTH, points=40), 0.01, seed=0)])
    return str(path)


def run(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, ["fit", *(str(a) for a in arguments)])


def test_json_has_the_promised_keys_and_nothing_else_is_printed(
    command: click.Command, log: str, tmp_path
) -> None:
    kept = tmp_path / "FIT.json"
    end = TRUTH["sequences_per_time"] * 4000
    result = run(
        command, log, "--starts", 2, "--json", "-o", kept, "--horizon", 1.2 * end, "--until", end
    )
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)
    assert {
        "run", "model", "parameters", "rmse", "landmarks", "verdict", "aicc", "bic", "starts",
        "warnings", "forecast",
    } <= set(entry)  # fmt: skip
    assert set(entry["landmarks"]) == {"emergence", "peak", "peak_flip", "crossover", "vanishing"}
    assert set(entry["rmse"]) == {"train", "icl", "ciwl", "flip"}
    assert {"value", "lower", "upper"} <= set(entry["parameters"]["mu1"])
    assert len(entry["starts"]) == 2
    forecast = entry["forecast"]
    assert set(forecast["verdict_probability"]) == {"persistent", "transient", "never"}
    assert sum(forecast["verdict_probability"].values()) == pytest.approx(1.0)
    table = Path(forecast["curves"]).read_text()
    assert table.startswith("run,evaluator,metric,sequences,value")
    (fitted,) = read_fits(kept)
    assert fitted.values["mu1"] == entry["parameters"]["mu1"]["value"]
    content = json.loads(kept.read_text())
    assert content["inputs"][0]["path"] == log
    assert len(content["inputs"][0]["sha256"]) == 64


def test_text_names_parameters_landmarks_and_compares_models(
    command: click.Command, log: str, tmp_path
) -> None:
    picture = tmp_path / "fit.png"
    models = ("--model", "coopetition", "--model", "cooperation")
    result = run(command, log, *models, "--starts", 2, "--plot", picture, "-p", "mu2=0.006")
    assert result.exit_code == 0, result.stderr
    for text in ("gain_icl", "crossover", "AICc", "weight", "transient"):
        assert text in result.stdout
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.csv",), 1, "missing.csv"),
        (("published:main", "--model", "copetition"), 2, "did you mean 'coopetition'"),
        (("published:main", "-p", "mu9=1"), 2, "unknown parameter 'mu9'"),
        (("published:main", "-p", "mu1"), 2, "name=value"),
        (("published:main", "--until", "10"), 1, "too short"),
        (("published:main", "--horizon", "-1"), 2, "--horizon"),
        (("published:main", "--plot", "fit.doc"), 2, "fit.doc"),
        (("published:icl_only",), 1, "no curve that the model predicts"),
    ],
)
def test_wrong_use_and_unfit_logs_end_with_one_line(
    command: click.Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(command, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_posterior_samples_are_summed_up_and_kept(
    command: click.Command, log: str, tmp_path: Path
) -> None:
    pytest.importorskip("emcee")
    kept = tmp_path / "FIT.json"
    result = run(
        command, log, "--starts", 2, "--json", "-o", kept, "--posterior", 40, "-p", "n_d=160",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)
    samples = pd.read_parquet(entry["posterior"]["samples"])
    assert "n_d" not in samples  # held, so not sampled
    for name, said in entry["posterior"]["parameters"].items():
        assert said["lower"] <= said["median"] <= said["upper"]
        assert said["median"] == pytest.approx(samples[name].median())


def test_runs_of_one_name_have_files_of_their_own(command: click.Command, tmp_path: Path) -> None:
    pytest.importorskip("emcee")
    logs = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        logs.append(tmp_path / folder / "curves.csv")
        write_curves(logs[-1], [noisy(made_by(TRUTH, points=20), 0.01, seed=len(logs))])
    end = 2 * TRUTH["sequences_per_time"] * 4000
    kept = tmp_path / "FIT.json"
    result = run(
        command, *logs, "--starts", 1, "--json", "-o", kept, "--horizon", end, "--posterior", 10,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)
    assert first["run"] == second["run"]
    files = [(e["forecast"]["curves"], e["posterior"]["samples"]) for e in (first, second)]
    for one, other in zip(*files, strict=True):
        assert Path(one).read_bytes() != Path(other).read_bytes()


@given(st.lists(st.text("ab/ .-2", max_size=4)))
def test_file_names_are_plain_and_one_a_run(runs: list[str]) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    module = sys.modules[entry.load().commands["fit"].callback.__module__]
    names = module.file_names(runs)
    assert len(set(names)) == len(runs)
    assert not any("/" in name for name in names)
