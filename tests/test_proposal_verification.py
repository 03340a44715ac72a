"""Verification of proposals: what came is compared with what was predicted, and nothing else."""

import json
import shutil

import numpy as np
import pytest
from made_proposals import BUDGET, POINTS, lasting, passing, proposals_in, runs_of

from coopetition.errors import CoopetitionError, Interrupted, TrainingError
from coopetition.files import sha256_of
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves, write_curves
from coopetition.proposal.proposals_folder import (
    PREDICTIONS,
    RUNS,
    VERDICTS,
    read_predictions,
    read_verdicts,
    require_new,
    write_proposals,
)
from coopetition.proposal.verification import updated_map, verify
from coopetition.settings.training import TrainingSettings
from coopetition.settings.yaml_files import read_settings, write_settings
from coopetition.train.folder.ownership import LOCK, FolderTaken


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, proposals_in(folder)


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the folder that a test may change."""
    return shutil.copytree(made[0], tmp_path / "proposals")


def test_predictions_are_read_as_they_were_written(made):
    folder, found = made
    for prediction, proposal in zip(read_predictions(folder), found.proposals, strict=True):
        assert prediction.name == proposal.name
        assert prediction.changes == proposal.changes
        assert dict(prediction.verdict_probability) == dict(proposal.forecast.verdict_probability)
        band = proposal.forecast.bands["flip"]
        table = prediction.table()
        written = table[table["evaluator"] == "flip"]["lower"].to_numpy()
        np.testing.assert_allclose(written, band.lower)


def test_settings_files_hold_the_changes(made):
    folder, found = made
    for proposal in found.proposals:
        settings = read_settings(folder / f"{proposal.name}.yaml")
        assert settings.sequences.match_probability == proposal.changes["match_probability"][1]


def test_hits_and_misses_are_counted(folder):
    result = verify(folder, trainer=runs_of([lasting, passing]))
    predicted = [one.prediction.verdict for one in result.results]
    assert [one.measured for one in result.results] == ["persistent", "transient"]
    assert result.score["total"] == 2
    assert result.score["hits"] == sum(
        a == b for a, b in zip(predicted, ["persistent", "transient"], strict=True)
    )
    first = result.results[0]
    chances = first.prediction.verdict_probability
    expected = sum((p - (name == "persistent")) ** 2 for name, p in chances.items())
    assert first.brier == pytest.approx(expected)
    assert first.final_flip == pytest.approx(0.9)
    assert first.peak_flip == pytest.approx(0.9, abs=0.02)
    assert 0 <= first.coverage <= 1
    assert "came true" in result.summary()


def test_coverage_counts_points_within_the_bands(folder):
    prediction = read_predictions(folder)[0]
    table = prediction.table()
    flip = table[table["evaluator"] == "flip"]

    def median(u):
        return np.interp(u * BUDGET, flip["sequences"], flip["value"], left=0.5)

    result = verify(folder, trainer=runs_of([median, lambda u: np.ones_like(u)]))
    assert result.results[0].rmse["flip"] == pytest.approx(0, abs=1e-3)
    x = np.linspace(0.0, BUDGET, POINTS)[1:]
    train = table[table["evaluator"] == "train"]
    lower, upper = (np.interp(x, train["sequences"], train[end]) for end in ("lower", "upper"))
    y = 0.5 + 0.4 * x / BUDGET
    expected = 0.5 * (1.0 + np.mean((y >= lower) & (y <= upper)))
    assert result.results[0].coverage == pytest.approx(expected)


def test_what_is_finished_is_not_trained_again(folder):
    first = verify(folder, trainer=runs_of([lasting, passing]))
    again = verify(folder, trainer=runs_of([]))
    assert again.as_dict() == first.as_dict()


def test_a_folder_is_verified_by_one_at_a_time(folder):
    def intruding(settings, run):
        with pytest.raises(FolderTaken):
            verify(folder, train_missing=False)
        runs_of([lasting])(settings, run)

    assert verify(folder, trainer=intruding).score["total"] == 2
    assert LOCK not in {path.name for path in folder.iterdir()}


def test_an_interruption_keeps_what_is_there(folder):
    with pytest.raises(IndexError):
        verify(folder, trainer=runs_of([lasting]))
    assert len(json.loads((folder / VERDICTS).read_text())["results"]) == 1
    partial = verify(folder, train_missing=False)
    assert partial.score["total"] == 1
    assert partial.unfinished == ("proposal-02",)
    assert json.loads((folder / VERDICTS).read_text())["unfinished"] == ["proposal-02"]
    assert verify(folder, trainer=runs_of([passing])).score["total"] == 2


def test_an_interrupted_verification_says_how_it_goes_on(folder):
    def stopped(settings, run):
        raise Interrupted("interrupted at 10 sequences; continue with --resume")

    with pytest.raises(Interrupted, match=r"proposal-01 was trained; run verify again") as caught:
        verify(folder, trainer=stopped)
    assert "--resume" not in str(caught.value)


def test_nothing_trained_is_no_score(folder):
    result = verify(folder, train_missing=False)
    assert result.score == {"hits": 0, "total": 0, "brier": None, "coverage": None}
    assert result.summary().startswith("nothing was verified")
    assert all(one.name in result.summary() for one in read_predictions(folder))
    whole = verify(folder, trainer=runs_of([lasting, passing]))
    assert whole.unfinished == ()
    assert "not finished" not in whole.summary()


def test_predictions_are_never_rewritten(folder, made):
    with pytest.raises(ValueError, match="never rewritten"):
        write_proposals(made[1], folder, default_map(), TrainingSettings())
    verify(folder, trainer=runs_of([lasting, passing]))
    path = folder / PREDICTIONS
    path.write_text(path.read_text().replace('"sure": 0.8', '"sure": 0.7'))
    with pytest.raises(CoopetitionError, match="changed after"):
        verify(folder, train_missing=False)


def changed_run(run, **changes):
    """A run's settings file with other values of ``run``."""
    settings = read_settings(run / "settings.yaml")
    write_settings(settings.replace(run=settings.run.replace(**changes)), run / "settings.yaml")


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_runs_of_other_settings_are_no_evidence(folder, share):
    verify(folder, trainer=runs_of([lasting, passing]))
    run = folder / RUNS / "proposal-02"
    (curves,) = read_curves(run)
    write_curves(run / "curves.csv", [curves.until(share * BUDGET)])
    changed_run(run, seed=5)
    with pytest.raises(CoopetitionError, match=r"proposal-02 was trained with other run settings"):
        verify(folder, trainer=runs_of([]))
    shutil.rmtree(run)
    assert verify(folder, trainer=runs_of([passing])).score["total"] == 2


def test_how_a_run_was_computed_may_differ(folder):
    first = verify(folder, trainer=runs_of([lasting, passing]))
    changed_run(folder / RUNS / "proposal-01", threads=1, checkpoint_every=0)
    assert verify(folder, trainer=runs_of([])).as_dict() == first.as_dict()


def test_a_run_that_does_not_say_its_settings_is_refused(folder):
    verify(folder, trainer=runs_of([lasting, passing]))
    (folder / RUNS / "proposal-01" / "settings.yaml").unlink()
    with pytest.raises(CoopetitionError, match="does not say what it was trained with"):
        verify(folder, train_missing=False)


@pytest.mark.parametrize("left", [RUNS, VERDICTS])
def test_what_other_proposals_left_is_not_mixed_with_new_ones(folder, made, left):
    verify(folder, trainer=runs_of([lasting, passing]))
    for name in {PREDICTIONS, RUNS, VERDICTS} - {left}:
        (folder / name).unlink() if name != RUNS else shutil.rmtree(folder / name)
    with pytest.raises(ValueError, match="of other proposals"):
        require_new(folder)
    with pytest.raises(ValueError, match="of other proposals"):
        write_proposals(made[1], folder, default_map(), TrainingSettings())


def test_predicted_curves_are_not_changed_unnoticed(folder):
    path = folder / "proposal-01.curves.csv"
    table = read_predictions(folder)[0].table()
    table.assign(lower=0.0, upper=1.0).to_csv(path, index=False)
    with pytest.raises(CoopetitionError, match=r"curves\.csv is not what was predicted"):
        verify(folder, train_missing=False)


def changed_file(path, place, value):
    """A JSON file with another value at a place, such as ``("proposals", 0, "name")``."""
    content = inner = json.loads(path.read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "kind"), [(PREDICTIONS, "proposals"), (VERDICTS, "verdicts")])
def test_files_of_an_older_format_are_refused_with_what_made_them(folder, name, kind):
    verify(folder, trainer=runs_of([lasting, passing]))
    changed_file(folder / name, ["format"], f"coopetition {kind} 1")
    changed_file(folder / name, ["version"], "0.0.9")
    with pytest.raises(
        CoopetitionError, match=rf"{name} is of format 1, made by coopetition 0.0.9"
    ):
        read_predictions(folder) and read_verdicts(folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["budget"], 10**400),
        (["budget"], "2e7"),
        (["budget"], 0),
        (["proposals"], {}),
        (["proposals", 0], None),
        (["proposals", 0, "name"], "../../escape/x"),
        (["proposals", 0, "name"], ".."),
        (["proposals", 0, "name"], "/elsewhere/x"),
        (["proposals", 0, "settings"], "../proposal-01.yaml"),
        (["proposals", 0, "curves_sha256"], None),
        (["proposals", 0, "forecast", "curves"], "../x.csv"),
        (["proposals", 0, "forecast", "level"], [0.9]),
        (["proposals", 0, "verdict_probability", "never"], None),
        (["proposals", 0, "verdict_probability"], {"never": 1.0}),
        (["proposals", 0, "verdict_probability", "perhaps"], 0.5),
        (["proposals", 0, "changes", "match_probability"], [0.0]),
        (["proposals", 0, "cost"], float("inf")),
    ],
)
def test_damaged_predictions_are_refused_in_one_line_and_train_nothing(folder, place, value):
    changed_file(folder / PREDICTIONS, place, value)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(CoopetitionError, match=rf"{PREDICTIONS} is damaged \({place[0]}") as caught:
        verify(folder, trainer=runs_of([]))
    assert "\n" not in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["predictions"], 3),
        (["results"], None),
        (["results", 0, "measured"], "gone"),
        (["results", 0, "brier"], "0.1"),
    ],
)
def test_damaged_verdicts_are_refused_in_one_line(folder, place, value):
    verify(folder, trainer=runs_of([lasting, passing]))
    changed_file(folder / VERDICTS, place, value)
    with pytest.raises(CoopetitionError, match=rf"{VERDICTS} is damaged \({place[0]}"):
        verify(folder, train_missing=False)


def test_a_table_that_holds_no_predicted_curves_is_refused(folder):
    table = folder / "proposal-01.curves.csv"
    table.write_text("evaluator,sequences\nflip,0\n")
    changed_file(folder / PREDICTIONS, ["proposals", 0, "curves_sha256"], sha256_of(table))
    with pytest.raises(CoopetitionError, match="damaged table of predicted curves"):
        verify(folder, trainer=runs_of([lasting, passing])).require()


def test_other_settings_than_predicted_are_refused(folder):
    settings = folder / "proposal-01.yaml"
    settings.write_text(settings.read_text().replace("lr: ", "lr: 2"))
    with pytest.raises(CoopetitionError, match="not what was predicted"):
        verify(folder, train_missing=False)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "coopetition proposals 2"}'])
def test_damaged_predictions_are_said_to_be(tmp_path, content):
    (tmp_path / PREDICTIONS).write_text(content)
    with pytest.raises(CoopetitionError, match=PREDICTIONS):
        verify(tmp_path)


def exploding(settings, run):
    raise TrainingError("the loss is no longer finite at 800 sequences")


def too_short(settings, run):
    runs_of([lasting])(settings, run)
    (curves,) = read_curves(run)
    write_curves(run / "curves.csv", [curves.until(BUDGET / 2)])


@pytest.mark.parametrize(
    ("trainer", "reason"), [(exploding, "no longer finite"), (too_short, "ends before the budget")]
)
def test_a_proposal_whose_training_fails_stops_no_other(folder, trainer, reason):
    others = runs_of([passing])

    def first_fails(settings, run):
        (trainer if settings.name == "proposal-01" else others)(settings, run)

    result = verify(folder, trainer=first_fails)
    assert [one.prediction.name for one in result.results] == ["proposal-02"]
    assert result.unfinished == ("proposal-01",)
    assert reason in result.failed["proposal-01"]
    assert json.loads((folder / VERDICTS).read_text())["failed"] == result.failed
    assert result.summary().endswith("proposal-01: failed")
    with pytest.raises(TrainingError, match=rf"1 of 2 proposals failed: proposal-01: .*{reason}"):
        result.require()
    shutil.rmtree(folder / RUNS / "proposal-01", ignore_errors=True)
    again = verify(folder, trainer=runs_of([lasting]))
    assert again.require().score["total"] == 2


def test_what_is_finished_is_scored_before_anything_is_trained(folder):
    verify(folder, trainer=runs_of([lasting, passing]))
    shutil.rmtree(folder / RUNS / "proposal-01")
    (folder / VERDICTS).unlink()

    def stopped(settings, run):
        raise Interrupted("interrupted at 10 sequences")

    with pytest.raises(Interrupted):
        verify(folder, trainer=stopped)
    results = json.loads((folder / VERDICTS).read_text())["results"]
    assert [one["name"] for one in results] == ["proposal-02"]


def test_an_updated_map_knows_the_runs_and_the_old_one_stays(folder):
    before = (folder / "map.json").read_bytes()
    result = verify(folder, trainer=runs_of([lasting, passing]))
    names = {run.run for run in updated_map(folder, result).runs}
    assert names - {run.run for run in default_map().runs} == {
        "proposals/proposal-01",
        "proposals/proposal-02",
    }
    assert (folder / "map.json").read_bytes() == before


def test_a_trainer_may_log_plain_accuracies(folder, made, tmp_path):
    plain = verify(folder, trainer=runs_of([lasting, passing], metric="acc"))
    other = shutil.copytree(made[0], tmp_path / "other")
    usual = verify(other, trainer=runs_of([lasting, passing]))
    assert plain.score == usual.score
    assert [one.rmse for one in plain.results] == [one.rmse for one in usual.results]
