"""Ensembles of runs, runs that diverge, and runs that begin from others."""

import numpy as np
import pytest
from short_runs import StopAt, everything, files_of, go, small

from coopetition.errors import CheckpointError, TrainingError
from coopetition.logs import read_curves
from coopetition.train import loop
from coopetition.train.folder.run_folder import RunFolder
from coopetition.train.loop import events


def test_a_member_of_an_ensemble_is_the_run_it_would_be_alone(unbroken, tmp_path):
    others = [small("one", 1), small("small"), small("two", 2, optimisation={"lr": 2e-2})]
    together = go(others, tmp_path / "ensemble")
    assert [run.folder.name for run in together] == ["one", "small", "two"]
    alone = read_curves(unbroken)[0]
    for evaluator in ("train", "flip"):
        loss = alone.curve(evaluator, "loss").values
        # batched products may round differently; 60 steps amplify that a little
        assert together[1].curves.curve(evaluator, "loss").values == pytest.approx(loss, rel=1e-3)
    assert not np.allclose(
        together[0].curves.curve("train", "loss").values,
        together[1].curves.curve("train", "loss").values,
        rtol=1e-2,
    )


def test_an_interrupted_ensemble_continues_bitwise(tmp_path, monkeypatch):
    members = [small("a", 1), small("b", 2, sequences={"match_probability": 0.5})]
    go(members, tmp_path / "unbroken")
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(members, tmp_path / "run", observers=[StopAt(132)])
    go((), tmp_path / "run", resume=True)
    for name in "ab":
        assert everything(tmp_path / "run" / name) == everything(tmp_path / "unbroken" / name)


def test_an_ensemble_killed_while_its_folders_were_made_begins_again(tmp_path):
    members = [small("a", 1), small("b", 2)]
    go(members, tmp_path / "unbroken")
    RunFolder.create(tmp_path / "run" / "a", members[0], {})  # as far as it had come
    go(members, tmp_path / "run", resume=True)
    for name in "ab":
        assert everything(tmp_path / "run" / name) == everything(tmp_path / "unbroken" / name)


@pytest.mark.parametrize("resume", [False, True])
def test_an_ensemble_touches_nothing_where_a_members_folder_holds_a_run(tmp_path, resume):
    go(small("b"), tmp_path / "b")
    before = files_of(tmp_path)
    members = [small(name, evaluation={"n_sequences": 8}) for name in "abc"]
    with pytest.raises(ValueError, match=r"/b holds a run already: .* another folder"):
        go(members, tmp_path, resume=resume)
    assert files_of(tmp_path) == before
    assert not (tmp_path / "a").exists()


def test_runs_that_cannot_share_a_step_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"network\.width differs"):
        go([small("a"), small("b", network={"width": 16})], tmp_path / "run")
    with pytest.raises(ValueError, match="two runs of an ensemble are named 'a'"):
        go([small("a"), small("a")], tmp_path / "run")
    assert not (tmp_path / "run").exists()  # refused before anything was made


def test_a_run_whose_loss_explodes_says_so(tmp_path):
    with pytest.raises(TrainingError, match=r"no longer finite.*lower optimisation\.lr"):
        go(small(optimisation={"optimizer": "sgd", "lr": 1e30}), tmp_path / "run")
    curves = read_curves(tmp_path / "run")[0]
    assert np.isfinite(curves.curve("train", "loss").values).all()


def test_a_member_that_diverges_leaves_the_others_alone(tmp_path):
    sgd = {"optimizer": "sgd", "lr": 1e-2}
    members = [
        small("good", optimisation=sgd),
        small("bad", optimisation={**sgd, "lr": 1e30}),
    ]
    good, bad = go(members, tmp_path / "run")
    assert (good.diverged, bad.diverged) == (False, True)
    assert good.curves.last_sequence == 240
    assert np.isfinite(good.curves.curve("train", "loss").values).all()


def test_a_run_starts_from_anothers_weights(unbroken, tmp_path):
    settings = small().replace(intervention={"start_from": str(unbroken)})
    (run,) = go(settings, tmp_path / "run")
    finished = read_curves(unbroken)[0].curve("icl", "loss").values[-1]
    assert run.curves.curve("icl", "loss").values[0] == pytest.approx(finished, rel=1e-6)
    other = settings.replace(network={"width": 16, "heads": 2})
    with pytest.raises(CheckpointError, match="has shape"):
        go(other, tmp_path / "other")


def test_events_are_at_the_first_step_that_reaches_them():
    settings = small(
        evaluation={"every": 50, "at": (7,)}, run={"sequences": 101, "checkpoint_every": 80}
    )
    agenda = events(settings)
    assert [e.step for e in agenda if e.evaluate] == [0, 2, 13, 25, 26]
    assert [e.step for e in agenda if e.checkpoint] == [20, 26]
    assert [e.step for e in agenda if e.keep] == [26]
