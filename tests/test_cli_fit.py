"""`coopetition fit`, called as the installed entry point."""

from __future__ import annotations

import dataclasses
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

from coopetition.errors import FitError
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
        (("published:mq", "--losses"), 1, "run mq has no loss to fit"),
        (("published:main", "published:icl_only"), 1, "no curve that the model predicts"),
        (("published:main", "-p", "mu1=-5"), 2, "mu1 must be at least 0, not -5.0"),
        (("published:main", "-p", "mu1=1e9"), 1, "with mu1 = 1e+09 held: hold other values"),
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


def test_a_population_without_a_horizon_is_refused(command: click.Command, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{}")
    result = run(command, "published:main", "--map", tmp_path / "map.json")
    assert result.exit_code == 2
    assert "give --horizon too" in result.stderr


def test_every_run_gets_its_picture(command: click.Command, log: str, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    write_curves(other, [made_by(TRUTH, points=20, run="an other")])
    result = run(command, log, other, "--starts", 1, "--plot", tmp_path / "fit.png")
    assert result.exit_code == 0, result.stderr
    pictures = {"fit.made.png", "fit.an_other.png"}
    assert pictures == {path.name for path in tmp_path.glob("*.png")}
    assert all(name in result.stderr for name in pictures)


def test_intervals_are_printed_with_their_levels(
    command: click.Command, log: str, tmp_path: Path
) -> None:
    end = TRUTH["sequences_per_time"] * 4000
    result = run(command, log, "--starts", 1, "--horizon", 2 * end)
    assert result.exit_code == 0, result.stderr
    assert "with 95% intervals" in result.stdout
    (crossover,) = [line for line in result.stdout.splitlines() if line.startswith("  crossover")]
    assert crossover.endswith("(90%)")
    said = " ".join(run(command, "--help").stdout.split())
    assert "95 % for parameters" in said
    assert "90 % for forecasts" in said


def test_without_flip_it_is_said_why_there_is_no_verdict(
    command: click.Command, tmp_path: Path
) -> None:
    made = made_by(TRUTH, points=30)
    icl = {key: curve for key, curve in made.curves.items() if key[0] == "icl"}
    path = write_curves(tmp_path / "icl.csv", [dataclasses.replace(made, curves=icl)])
    horizon = 2 * made.last_sequence
    held = ("-p", "x_d=0.08", "-p", "n_d=150")
    result = run(
        command, path, "--starts", 1, "--horizon", horizon, "--model", "cooperation", *held
    )
    assert result.exit_code == 0, result.stderr
    assert "no verdict: the log has no flip accuracy" in result.stdout
    assert f"at {horizon:,.0f} sequences: no verdict without flip" in result.stdout
    assert "" not in result.stdout.splitlines()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FitError("no start led anywhere")])
def test_what_was_fitted_is_kept_when_a_later_run_fails(
    command: click.Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error
) -> None:
    from coopetition.fitting import fit

    def second_fails(part: object, *arguments: object, **more: object) -> object:
        if part.run != "made":
            raise error
        return fit(part, *arguments, **more)

    monkeypatch.setattr("coopetition.fitting.fit", second_fails)
    other = write_curves(tmp_path / "other.csv", [made_by(TRUTH, points=20, run="other")])
    file, picture = tmp_path / "many.json", tmp_path / "many.png"
    result = run(command, log, other, "--starts", 1, "--json", "-o", file, "--plot", picture)
    assert result.exit_code == 1
    assert (str(error) or "Aborted") in result.stderr
    assert [entry["run"] for entry in json.loads(result.stdout)] == ["made"]
    assert [kept.run for kept in read_fits(file)] == ["made"]
    assert [path.name for path in tmp_path.glob("*.png")] == ["many.made.png"]


def test_a_fit_is_kept_when_its_forecast_fails(
    command: click.Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise FitError("too few simulations reach the horizon")

    monkeypatch.setattr("coopetition.fitting.predict", fails)
    file = tmp_path / "FIT.json"
    horizon = 2 * TRUTH["sequences_per_time"] * 4000
    result = run(command, log, "--starts", 1, "-o", file, "--horizon", horizon)
    assert result.exit_code == 1
    assert "too few simulations reach the horizon" in result.stderr
    assert "gain_icl" in result.stdout
    assert [kept.run for kept in read_fits(file)] == ["made"]


def test_what_was_found_is_told_even_where_it_cannot_be_kept(
    command: click.Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("coopetition.files.os.replace", full)
    result = run(command, log, "--starts", 1, "-o", tmp_path / "FIT.json")
    assert result.exit_code == 1
    assert "no space left" in result.stderr
    assert "gain_icl" in result.stdout


@given(st.lists(st.text("ab/ .-2", max_size=4)))
def test_file_names_are_plain_and_one_a_run(runs: list[str]) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    module = sys.modules[entry.load().commands["fit"].callback.__module__]
    names = module.file_names(runs)
    assert len(set(names)) == len(runs)
    assert not any("/" in name for name in names)
