"""What watches a run sees what the run measured."""

import io
import sys
import types

import pytest

from coopetition.settings.training import TrainingSettings
from coopetition.train.loop import train
from coopetition.train.observers import ProgressBar


def small(**run):
    return TrainingSettings(
        name="small",
        data={"n_classes": 12, "n_exemplars": 3, "dim": 4},
        network={"width": 8, "heads": 2},
        evaluation={"n_sequences": 10, "every": 64},
        run={"sequences": 128, "block": 2, **run},
    )


def test_tensorboard_gets_every_mean(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (run,) = train(small(tensorboard=True), tmp_path / "run", progress=False, device="cpu")
    log = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard" / "small"))
    log.Reload()
    events = log.Scalars("flip/in_context_acc")
    curve = run.curves.curve("flip")
    assert [event.step for event in events] == curve.sequences.tolist()
    assert [event.value for event in events] == pytest.approx(curve.values.tolist())


def test_wandb_gets_every_mean_under_an_id_that_resumes(tmp_path, monkeypatch):
    logged, begun = [], []

    def init(**settings):
        begun.append(settings)
        return types.SimpleNamespace(log=logged.append, summary={}, finish=lambda: None)

    package = types.ModuleType("wandb")
    package.init = init
    package.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "wandb", package)
    settings = small(wandb_project="mine")
    (run,) = train(settings, tmp_path / "run", progress=False, device="cpu")
    curve = run.curves.curve("flip")
    assert [one["sequences"] for one in logged] == curve.sequences.tolist()
    assert [one["flip/in_context_acc"] for one in logged] == pytest.approx(curve.values.tolist())
    train((), tmp_path / "run", resume=True, progress=False, device="cpu")
    assert begun[0]["id"] == begun[1]["id"]
    assert begun[0]["config"]["network"]["width"] == 8


@pytest.mark.parametrize(
    ("package", "run"), [("tensorboard", {"tensorboard": True}), ("wandb", {"wandb_project": "x"})]
)
def test_a_logger_that_is_not_installed_is_refused_before_work(tmp_path, monkeypatch, package, run):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"pip install 'coopetition\[{package}\]'"):
        train(small(**run), tmp_path / "run", progress=False, device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_bar_shows_the_accuracies_and_notes_on_stderr(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = ProgressBar(100, 40, "a run")
    bar.evaluated(50, [{"flip/acc": 0.1, "flip/in_context_acc": 0.25}] * 2)
    bar.advanced(100)
    bar.note("something happened")
    bar.close()
    shown = stream.getvalue()
    assert "a run" in shown
    assert "flip=0.25" in shown
    assert "something happened" in shown
    assert "100%" in shown
