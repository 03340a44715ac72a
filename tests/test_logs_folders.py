"""Run folders: the log found, the settings beside it, and folders of runs."""

import pandas as pd
import pytest

from coopetition.errors import LogError
from coopetition.logs import read_curves


def tidy(run):
    return pd.DataFrame(
        {
            "run": run,
            "evaluator": "flip",
            "metric": "in_context_acc",
            "sequences": range(0, 100, 10),
            "value": [k / 20 + 0.5 for k in range(10)],
        }
    )


def test_a_run_folder_gives_settings_too(tmp_path):
    tidy("mine").to_csv(tmp_path / "curves.csv", index=False)
    (tmp_path / "settings.yaml").write_text(
        "name: mine\nnetwork: {width: 32}\noptimisation: {lr: 3e-4, batch_size: 16}\n"
    )
    (run,) = read_curves(tmp_path)
    assert (run.settings["width"], run.settings["lr"], run.settings["batch_size"]) == (32, 3e-4, 16)
    assert run.settings["original"]["name"] == "mine"
    (tmp_path / "settings.yaml").write_text("a: [1")
    with pytest.raises(LogError, match="not YAML"):
        read_curves(tmp_path)


def test_a_folder_of_runs_gives_all_of_them(tmp_path):
    for seed in (1, 0):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        tidy(f"s{seed}").to_csv(folder / "curves.csv", index=False)
        (folder / "settings.yaml").write_text(f"run: {{seed: {seed}}}\n")
    (tmp_path / "notes").mkdir()
    runs = read_curves(tmp_path)
    assert [run.run for run in runs] == ["s0", "s1"]
    assert [run.settings["seed"] for run in runs] == [0, 1]
    assert [run.run for run in read_curves(tmp_path, run="s1")] == ["s1"]


def test_a_parquet_log_without_names_is_named_after_its_folder(tmp_path):
    tidy("x").drop(columns="run").to_parquet(tmp_path / "curves.parquet")
    (run,) = read_curves(tmp_path)
    assert run.run == tmp_path.name
    assert not run.settings


def test_an_empty_folder_says_what_it_looked_for(tmp_path):
    with pytest.raises(LogError, match=r"none of curves\.csv.*but nothing"):
        read_curves(tmp_path)
