"""`coopetition train` and `coopetition embeddings` from the command line."""

import json
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from coopetition.logs import read_curves
from coopetition.settings.training import DataSettings
from coopetition.settings.yaml_files import read_settings
from coopetition.train.compute.devices import choose_device
from coopetition.train.data import make_dataset

SMALL = [
    *("-s", "data.n_classes=12", "-s", "data.dim=4", "-s", "network.width=8"),
    *("-s", "network.heads=2", "-s", "run.sequences=96", "-s", "evaluation.every=32"),
    *("-s", "evaluation.n_sequences=10", "--device", "cpu"),
]


@pytest.fixture
def coopetition():
    (entry,) = entry_points(group="console_scripts", name="coopetition")
    command = entry.load()
    return lambda *arguments: CliRunner().invoke(command, [str(a) for a in arguments])


def test_train_prints_one_json_object_and_nothing_else(coopetition, tmp_path):
    result = coopetition("train", *SMALL, "-o", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["run"] == str(tmp_path / "run")
    assert said["sequences"] == 96
    assert said["seconds"] > 0
    assert said["sequences_per_second"] == pytest.approx(96 / said["seconds"])
    assert said["verdict"] in ("never", "transient", "persistent")
    assert set(said["landmarks"]) >= {"emergence", "peak", "peak_flip", "crossover", "vanishing"}
    curves = read_curves(tmp_path / "run")[0]
    assert said["final"]["flip"] == curves.curve("flip").values[-1]
    assert said["final"]["iwl"] == curves.curve("iwl", "acc").values[-1]


def test_train_shows_its_progress_on_stderr(coopetition, tmp_path):
    result = coopetition("train", *SMALL, "-o", tmp_path / "run")
    assert "verdict:" in result.stdout
    assert "seq/s" in result.stderr or "seq" in result.stderr
    assert "flip=" in result.stderr


def test_train_reads_settings_presets_and_changes(coopetition, tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: cpu-never\nname: mine\n")
    result = coopetition("train", tmp_path / "mine.yaml", *SMALL, "-o", tmp_path / "run", "--quiet")
    assert result.exit_code == 0, result.output
    settings = read_settings(tmp_path / "run" / "settings.yaml")
    assert settings.name == "mine"
    assert settings.data.spread == 1.0
    assert settings.data.n_classes == 12


def test_train_trains_seeds_as_one(coopetition, tmp_path):
    result = coopetition(
        "train", *SMALL, "--seeds", 3, "-o", tmp_path / "runs", "--json", "--quiet"
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [one["seed"] for one in said] == [0, 1, 2]
    assert len({one["final"]["train"] for one in said} | {one["run"] for one in said}) > 3
    assert all(Path(one["run"], "curves.csv").is_file() for one in said)


def test_train_trains_settings_that_differ_in_numbers_as_one(coopetition, tmp_path):
    result = coopetition(
        *("train", "cpu-persistent", "cpu-never", *SMALL, "-o", tmp_path / "runs"),
        *("--json", "--quiet"),
    )
    assert result.exit_code == 0, result.output
    assert [one["name"] for one in json.loads(result.stdout)] == ["cpu-persistent", "cpu-never"]
    result = coopetition("train", "cpu-never", "paper-12layer", *SMALL, "-o", tmp_path / "other")
    assert result.exit_code == 2
    assert "differs between the runs of an ensemble" in result.output


def test_a_run_is_continued_with_more_sequences(coopetition, tmp_path):
    coopetition("train", *SMALL, "-o", tmp_path / "run", "--quiet")
    result = coopetition(
        "train", "--resume", "-o", tmp_path / "run", "-s", "run.sequences=128", "--json", "--quiet"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sequences"] == 128


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["cpu-nevr"], 2, "did you mean 'cpu-never'"),
        (["missing.yaml"], 2, "does not exist"),
        (["-s", "network.widht=3"], 2, "did you mean 'network.width'"),
        (["-s", "evaluation.names=[]"], 2, "name at least one"),
        (["-s", "name=../../evil"], 2, "a run's name is a folder's"),
        (["-s", "run.seed=1", "-s", "run.seed=2"], 2, "run.seed is given twice"),
        (["-s", "sequences.context_len=2", "-s", "data.n_labels=1"], 2, "raise data.n_classes"),
        (["--device", "cuda:99"], 2, "CUDA devices"),
        (["--device", "abacus"], 2, "use auto, cpu, cuda"),
    ],
)
def test_wrong_usage_ends_with_one_line_and_exit_code_2(
    coopetition, tmp_path, arguments, code, says
):
    result = coopetition("train", *SMALL, *arguments, "-o", tmp_path / "run")
    assert result.exit_code == code
    assert says in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_settings_for_nothing_are_told_on_stderr(coopetition, tmp_path):
    idle = ["-s", "evaluation.at=[64, 999]", "-s", "network.time_scale=30"]
    result = coopetition("train", *SMALL, *idle, "-o", tmp_path / "run", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sequences"] == 96
    assert "note: evaluation.at = [999] has no effect" in result.stderr
    assert "note: network.time_scale = 30.0 has no effect" in result.stderr


def test_a_run_without_flip_has_no_verdict(coopetition, tmp_path):
    only = ["-s", "evaluation.names=[train]"]
    result = coopetition("train", *SMALL, *only, "-o", tmp_path / "run", "--quiet")
    assert result.stdout.endswith("verdict: none without two evaluations of flip\n")


@pytest.mark.parametrize("lr", [1e30, 1.0])  # before its second evaluation, and after it
def test_a_member_that_diverges_takes_no_result_from_the_others(coopetition, tmp_path, lr):
    files = [tmp_path / f"{name}.yaml" for name in ("good", "bad")]
    for file, rate in zip(files, (1e-2, lr), strict=True):
        file.write_text(
            f"name: {file.stem}\noptimisation: {{optimizer: sgd, lr: {rate:e}, batch_size: 1}}\n"
        )
    told = ["-o", tmp_path / "run", "--json", "--quiet"]
    for again in ([], ["--resume"]):
        result = coopetition("train", *files, *SMALL, *told, *again)
        assert result.exit_code == 0, result.output
        good, bad = json.loads(result.stdout)
        assert (good["diverged"], bad["diverged"]) == (False, True)
        assert good["verdict"] in ("never", "transient", "persistent")
        flip = read_curves(bad["run"])[0].curve("flip")
        seen = float(flip.sequences[-1]) if len(flip) > 1 else None
        assert (bad["horizon"], bad["verdict"] is None) == (seen, seen is None)


def test_nothing_is_continued_where_nothing_was_begun(coopetition, tmp_path):
    result = coopetition("train", "--resume", "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert "holds no run to continue" in result.output


def test_a_failure_of_the_work_has_exit_code_1(coopetition, tmp_path):
    explode = ["-s", "optimisation.optimizer=sgd", "-s", "optimisation.lr=1e30"]
    result = coopetition("train", *SMALL, *explode, "-o", tmp_path / "run", "--quiet")
    assert result.exit_code == 1
    assert "no longer finite" in result.output


def test_train_lists_presets_with_their_sources(coopetition):
    result = coopetition("train", "--presets")
    assert result.exit_code == 0
    assert "paper-2layer" in result.stdout
    assert "arXiv 2503.05631" in result.stdout


def test_embeddings_makes_a_file_that_train_reads(coopetition, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "matrix.npy", rng.normal(size=(400, 6)).astype(np.float32))
    out = tmp_path / "classes.h5"
    result = coopetition(
        *("embeddings", tmp_path / "matrix.npy", "--classes", 10, "--exemplars", 4, "-o", out)
    )
    assert result.exit_code == 0, result.output
    data = DataSettings(kind="embeddings", path=str(out), n_classes=10, n_exemplars=4)
    assert make_dataset(data).exemplars.shape == (10, 4, 6)
    small = ["-s", "data.kind=embeddings", "-s", f"data.path={out}", "-s", "data.n_exemplars=4"]
    result = coopetition(
        *("train", *SMALL[2:], *small, "-s", "data.n_classes=10", "-o", tmp_path / "run", "--quiet")
    )
    assert result.exit_code == 0, result.output


def test_embeddings_names_the_file_that_is_unfit(coopetition, tmp_path):
    matrix = np.ones((40, 3), dtype=np.float32)
    matrix[7, 1] = np.nan
    np.save(tmp_path / "nan.npy", matrix)
    wanted = ("embeddings", tmp_path / "nan.npy", "--classes", 4, "--exemplars", 2, "-o")
    result = coopetition(*wanted, tmp_path / "classes.h5")
    assert result.exit_code == 1
    assert "nan.npy holds values that are not finite" in result.output
    result = coopetition(*wanted, tmp_path / "classes.txt")
    assert result.exit_code == 2
    assert "classes.txt: end its name in one of .h5, .hdf5, .npy" in result.output
    assert not list(tmp_path.glob("classes*"))


def test_the_device_is_chosen_by_what_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")
