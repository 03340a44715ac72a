"""`coopetition propose` and `coopetition verify`, called as the installed entry point."""

import importlib.metadata
import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from tolerances import FLOAT64

from coopetition.errors import TrainingError
from coopetition.files import sha256_of
from coopetition.logs import read_curves, write_curves
from coopetition.settings.yaml_files import read_settings

# so small and fast that ICL hardly comes, but likelier where exemplars match
TINY = {
    "name": "tiny",
    "data": {"n_classes": 1600, "n_exemplars": 20, "dim": 8},
    "network": {"width": 8, "heads": 2},
    "optimisation": {"lr": 1e-2, "batch_size": 16},
    "evaluation": {"names": ["train", "icl", "ciwl", "flip"], "every": 1600, "n_sequences": 20},
    "run": {"sequences": 6400, "threads": 1},
}
FAST = ("--candidates", 8, "--count", 2, "--move", "match_probability", "--quiet")


@pytest.fixture(scope="module")
def command():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    return entry.load()


@pytest.fixture
def run(command):
    def invoke(*arguments):
        return CliRunner().invoke(command, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def test_json_has_the_promised_keys_and_files_that_train(run, base, tmp_path):
    folder = tmp_path / "proposals"
    result = run("propose", "--settings", base, *FAST, "-o", folder, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert len(said["proposals"]) == 2
    assert said["budget"] == TINY["run"]["sequences"]
    for number, proposal in enumerate(said["proposals"]):
        assert set(proposal) >= {"changes", "probability_persistent", "cost", "mechanism"}
        settings = read_settings(proposal["settings"])
        assert proposal["second_opinion"] is None  # no run it learnt of is so short
        before, after = proposal["changes"]["match_probability"]
        assert before == 0
        assert settings.sequences.match_probability == after
        assert settings.run.seed == 1000 + number
        assert settings.data.n_classes == TINY["data"]["n_classes"]
    verified = run("verify", folder, "--device", "cpu", "--quiet", "--json")
    assert verified.exit_code == 0, verified.output
    score = json.loads(verified.stdout)
    assert score["score"]["total"] == 2
    for one in score["results"]:
        assert set(one) >= {"settings", "predicted", "measured", "came_true"}
        assert one["came_true"] == (one["predicted"] == one["measured"])
    again = run("verify", folder, "--no-train", "--json")
    assert json.loads(again.stdout) == score


def test_verify_ends_with_the_reasons_of_what_failed(run, base, tmp_path, monkeypatch):
    def explode(settings, *_, **__):
        raise TrainingError(f"no longer finite: {settings.name}")

    monkeypatch.setattr("coopetition.train.loop.train", explode)
    folder = tmp_path / "proposals"
    assert run("propose", "--settings", base, *FAST, "-o", folder).exit_code == 0
    result = run("verify", folder, "--device", "cpu", "--quiet", "--json")
    assert result.exit_code == 1
    for number in (1, 2):
        assert f"no longer finite: proposal-0{number}" in result.stderr
    assert set(json.loads(result.stdout)["failed"]) == {"proposal-01", "proposal-02"}


def test_a_second_opinion_is_told_where_runs_are_as_long(run, base):
    slower = {**TINY, "optimisation": {**TINY["optimisation"], "lr": 1e-3}}
    base.write_text(yaml.safe_dump(slower))
    result = run("propose", "--settings", base, "--budget", 4e5, *FAST, "--json")
    assert result.exit_code == 0, result.output
    proposals = json.loads(result.stdout)["proposals"]
    assert proposals
    for proposal in proposals:
        assert 0 <= proposal["second_opinion"] <= 1


def test_a_fit_leads_to_its_log_and_its_settings(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text("name: of something else\n")
    fit = tmp_path / "fit.json"
    made = run("fit", "published:main", "--starts", 1, "--quiet", "-o", fit)
    assert made.exit_code == 0, made.output
    result = run("propose", fit, "--budget", 2e7, *FAST, "--sure", 0.6, "--json")
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)["proposals"][0]
    assert first["changes"]["match_probability"][1] > 0.5
    assert first["settings"] is None


@pytest.fixture
def logs_of(command):
    """What `propose` makes of the logs and fits it is given."""
    return sys.modules[command.commands["propose"].callback.__module__].logs_of


def test_logs_of_one_name_are_all_kept_and_the_first_stays_first(logs_of, tmp_path):
    (main,) = read_curves("published:main")
    paths = []
    for folder, until in (("a", 1e7), ("b", 2e7)):
        (tmp_path / folder).mkdir()
        table = main.until(until).curve("flip")
        columns = pd.DataFrame({"sequences": table.sequences, "flip": table.values})
        paths.append(str(tmp_path / folder / "curves.csv"))
        columns.to_csv(paths[-1], index=False)
    found = logs_of((*paths, paths[0]))
    assert [curves.source["path"] for curves in found] == paths
    assert [curves.run for curves in found] == ["curves", "curves"]


def test_a_fit_is_followed_to_its_log_by_its_columns_and_only_as_it_was(run, logs_of, tmp_path):
    (main,) = read_curves("published:main")
    flip, train = main.curve("flip"), main.curve("train")
    log, fit = tmp_path / "mine.csv", tmp_path / "fit.json"
    table = {
        "step": flip.sequences / 32,
        "acc_flip": flip.values,
        "acc": np.interp(flip.sequences, train.sequences, train.values),
    }
    pd.DataFrame(table).to_csv(log, index=False)
    (tmp_path / "settings.yaml").write_text("name: of something else\n")
    columns = "flip=acc_flip,train=acc,sequences=step*32"
    made = run("fit", log, "--columns", columns, "--starts", 1, "--quiet", "-o", fit)
    assert made.exit_code == 0, made.output
    (found,) = logs_of((str(fit),))
    np.testing.assert_allclose(found.curve("flip").sequences, flip.sequences, rtol=FLOAT64)
    assert len(logs_of((str(fit), str(fit)))) == 1
    pd.DataFrame(table).iloc[:-3].to_csv(log, index=False)
    told = run("propose", fit)
    assert told.exit_code == 1
    assert "is not what it was" in told.stderr


def test_logs_whose_columns_are_named_join_the_map(run, base, tmp_path):
    (main,) = read_curves("published:main")
    flip, log, folder = main.curve("flip"), tmp_path / "odd.csv", tmp_path / "proposals"
    pd.DataFrame({"step": flip.sequences / 32, "acc": flip.values}).to_csv(log, index=False)
    columns = "flip=acc,sequences=step*32"
    arguments = ("propose", log, "--settings", base, *FAST, "--columns", columns, "-o", folder)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "its log, run odd: ICL is transient" in result.stdout
    written = json.loads((folder / "proposals.json").read_text())
    assert "odd" in written["search"]["map"]["runs"]
    assert written["inputs"] == [
        {"path": str(path), "sha256": sha256_of(path)} for path in (base, log)
    ]
    assert written["settings"]["columns"] == {"flip": "acc", "sequences": "step*32.0"}


def test_a_base_that_needs_no_change_is_said_to(run, tmp_path):
    folder = tmp_path / "proposals"
    arguments = ("propose", "published:mq", "--sure", 0.6, *FAST, "-o", folder)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "nothing needs changing" in result.stdout
    assert json.loads((folder / "proposals.json").read_text())["base_log"]["run"] == "mq"
    said = json.loads(run(*arguments[:-2], "--json").stdout)["base"]
    assert said["suffices"]
    assert said["log"]["verdict"] == "persistent"


def test_a_fit_of_a_runs_log_leads_to_its_settings(run, logs_of, base, tmp_path):
    (main,) = read_curves("published:main")
    folder = tmp_path / "mine"
    folder.mkdir()
    base.rename(folder / "settings.yaml")
    write_curves(folder / "curves.csv", [main])
    for number, log in enumerate((folder, folder / "curves.csv")):
        fit = tmp_path / f"fit{number}.json"
        made = run("fit", log, "--starts", 1, "--quiet", "-o", fit)
        assert made.exit_code == 0, made.output
        (found,) = logs_of((str(fit),))
        assert found.settings["n_classes"] == TINY["data"]["n_classes"]


def test_pictures_and_experiments(run, tmp_path):
    base = ("propose", "published:main", "--budget", 2e7, *FAST)
    frontier, over = tmp_path / "frontier.png", tmp_path / "boundary.png"
    first = run(*base, "--plot", frontier, "--experiments", 2)
    assert first.exit_code == 0, first.output
    assert first.output.count("experiment:") == 2
    pair = ("--move", "n_classes=log:6400:25600", "--boundary", "match_probability,n_classes")
    second = run(*base, *pair, "--plot", over)
    assert second.exit_code == 0, second.output
    assert frontier.stat().st_size > 1000
    assert over.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no base"),
        (("published:main", "--budget", -1), "budget"),
        (("published:main", "--budget", 0), "budget"),
        (("published:main", "--budget", "nan"), "budget"),
        (("published:main", "--move", "match_probability=log:0.01:1"), "without log"),
        (("published:icl_only",), "icl_only sequences"),
        (("published:main", "--move", "n_clases"), "n_classes"),
        (("published:main", "--move", "n_classes", "--move", "n_classes@3"), "given twice"),
        (("published:main", "--boundary", "a,b"), "--plot"),
        (("published:main", "--boundary", "a", "--plot", "x.png"), "two settings"),
        (("published:main", "--plot", "x.txt"), "--plot"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, arguments, message):
    result = run("propose", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_no_file_trains_other_settings_than_were_predicted(run, tmp_path):
    folder = tmp_path / "proposals"
    base = "published:init_from_ciwl_only_4M"
    result = run("propose", base, "--budget", 2e7, *FAST, "-o", folder)
    assert result.exit_code == 2
    assert "head_start" in result.stderr
    assert "--settings" in result.stderr
    assert not folder.exists()


def test_files_that_train_on_other_data_than_were_predicted_say_so(run, tmp_path):
    folder = tmp_path / "proposals"
    arguments = ("propose", "published:main", "--budget", 2e7, *FAST)
    written = run(*arguments, "--sure", 0.6, "-o", folder, "--json")
    assert written.exit_code == 0, written.output
    found = json.loads(written.stdout)
    assert read_settings(found["proposals"][0]["settings"]).data.kind == "gaussian"
    said = "predicted for data of kind omniglot"
    assert any(said in note for note in found["notes"])
    assert said in (folder / "proposals.json").read_text()
    assert said not in run(*arguments).stdout  # nothing is written, nothing else is trained


def test_moves_that_cannot_be_trained_are_refused_before_the_search(run, tmp_path):
    path = tmp_path / "base.yaml"
    halves = {**TINY, "optimisation": {**TINY["optimisation"], "micro_batches": 16}}
    path.write_text(yaml.safe_dump(halves))
    result = run("propose", "--settings", path, "--move", "batch_size", "--quiet")
    assert result.exit_code == 2
    assert "micro_batches" in result.stderr


def test_predictions_are_not_overwritten(run, base, tmp_path):
    folder = tmp_path / "proposals"
    assert run("propose", "--settings", base, *FAST, "-o", folder).exit_code == 0
    before = (folder / "proposals.json").read_bytes()
    again = run("propose", "--settings", base, *FAST, "-o", folder)
    assert again.exit_code == 2
    assert "never rewritten" in again.stderr
    assert (folder / "proposals.json").read_bytes() == before


def test_a_folder_without_predictions_is_a_stated_failure(run, tmp_path):
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert "coopetition propose" in result.stderr


def test_a_fit_finds_its_log_from_another_folder_and_under_any_name(
    run, logs_of, tmp_path, monkeypatch
):
    (main,) = read_curves("published:main")
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    monkeypatch.chdir(own)
    write_curves("log.csv", [main])
    made = run("fit", "log.csv", "--starts", 1, "--quiet", "-o", "fit.json")
    assert made.exit_code == 0, made.output
    (own / "fit.json").rename(own / "fit.txt.json")
    monkeypatch.chdir(other)
    (curves,) = logs_of((str(own / "fit.txt.json"),))
    assert curves.run == "main"
    (own / "log.csv").rename(own / "gone.csv")
    told = run("propose", own / "fit.txt.json")
    assert told.exit_code == 1
    assert "is neither at log.csv nor beside the fit" in told.stderr
