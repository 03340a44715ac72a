"""TensorBoard's event files: what writers write is read back, what is wrong with them is said."""

import importlib.metadata
import json

import numpy as np
import pytest
from click.testing import CliRunner
from tolerances import FLOAT32

from coopetition.errors import LogError
from coopetition.logs import read_curves
from coopetition.logs.formats import format_of
from coopetition.settings.training import TrainingSettings
from coopetition.train.loop import train

pytest.importorskip("tensorboard")
STEPS = np.arange(0, 3200, 320)
FLIP = 0.5 + STEPS / 10_000


def write(folder, scalars, *, new_style=False, suffix=""):
    """An event file with ``(tag, step, value)`` in that order; strings become texts."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.scalar import summary_v2
    from tensorboard.plugins.text import summary_v2 as text
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for tag, step, value in scalars:
        if isinstance(value, str):
            summary = text.text_pb(tag, value)
        elif new_style:
            summary = summary_v2.scalar_pb(tag, np.float32(value))
        else:
            one = summary_pb2.Summary.Value(tag=tag, simple_value=value)
            summary = summary_pb2.Summary(value=[one])
        writer.add_event(event_pb2.Event(step=int(step), summary=summary))
    writer.close()
    return next(folder.glob(f"*tfevents*{suffix}"))


def flips(steps=STEPS, values=FLIP, tag="flip"):
    return [(tag, step, value) for step, value in zip(steps, values, strict=True)]


# ---- what was written is read ----------------------------------------------------------------


def trained(folder, members):
    settings = [
        TrainingSettings(
            name=f"run{seed}",
            data={"n_classes": 12, "n_exemplars": 3, "dim": 4},
            network={"width": 8, "heads": 2},
            evaluation={"n_sequences": 10, "every": 64},
            run={"sequences": 640, "block": 2, "tensorboard": True, "seed": seed, "threads": 1},
        )
        for seed in range(members)
    ]
    asked = settings if members > 1 else settings[0]
    return train(asked, folder, progress=False, device="cpu")


def assert_same(read, run):
    assert read.run == run.curves.run
    shown = {key: c for key, c in run.curves.curves.items() if key[1] != "batch_loss"}
    assert set(read.curves) == set(shown)
    for key, curve in shown.items():
        np.testing.assert_array_equal(read.curves[key].sequences, curve.sequences)
        np.testing.assert_allclose(read.curves[key].values, curve.values, rtol=FLOAT32)


def test_what_our_trainer_shows_tensorboard_is_its_curves(tmp_path):
    (run,) = trained(tmp_path / "run", 1)
    folder = tmp_path / "run" / "tensorboard" / "run0"
    (read,) = read_curves(folder)
    assert_same(read, run)
    (settled,) = read_curves(tmp_path / "run")  # the run's own table, with its settings
    assert dict(read.settings) == dict(settled.settings)
    assert read.source["format"] == "tensorboard"
    assert read.source["path"] == str(folder)
    (file,) = folder.iterdir()
    assert format_of(file).name == "tensorboard"
    (alone,) = read_curves(file)
    assert_same(alone, run)
    assert not alone.settings
    assert alone.source["sha256"] == read.source["sha256"]


def test_runs_trained_together_are_read_together(tmp_path):
    runs = trained(tmp_path / "both", 2)
    read = read_curves(tmp_path / "both" / "tensorboard")
    for one, run in zip(read, runs, strict=True):
        assert_same(one, run)
    assert [one.settings["seed"] for one in read] == [0, 1]


@pytest.mark.parametrize("new_style", [False, True])
def test_scalars_of_either_style_are_read(tmp_path, new_style):
    file = write(tmp_path, flips(), new_style=new_style)
    (run,) = read_curves(file)
    assert run.run == tmp_path.name
    np.testing.assert_array_equal(run.curve("flip").sequences, STEPS)
    np.testing.assert_allclose(run.curve("flip").values, FLIP, rtol=FLOAT32)
    assert any("taken for sequences" in note for note in run.notes)


def test_tags_and_steps_are_mapped_as_columns_are(tmp_path):
    noise = [("loss/train", step, 1.0) for step in range(0, 3200, 10)]
    texts = [("hyperparameters", 0, "lr = 1e-5")]
    write(tmp_path, [*texts, *noise, *flips(tag="eval/flip"), *flips(tag="eval/icl")])
    columns = "flip=eval/flip,icl=eval/icl,sequences=step*32"
    (run,) = read_curves(tmp_path, columns=columns)
    assert run.evaluators == ("icl", "flip")
    np.testing.assert_array_equal(run.curve("icl").sequences, 32 * STEPS)
    np.testing.assert_allclose(run.curve("flip").values, FLIP, rtol=FLOAT32)
    assert run.notes == ()
    with pytest.raises(ValueError, match="did you mean 'eval/flip'"):
        read_curves(tmp_path, columns="flip=eval/flop,sequences=step*32")


def test_a_tag_can_count_the_sequences(tmp_path):
    counted = [("sequences", step, 16.0 * step) for step in STEPS]
    write(tmp_path, [*counted, *flips()])
    (run,) = read_curves(tmp_path)
    np.testing.assert_array_equal(run.curve("flip").sequences, 16 * STEPS)
    assert not any("taken for sequences" in note for note in run.notes)


def test_what_a_restart_wrote_again_replaces_what_was_there(tmp_path):
    both = [*flips(STEPS, FLIP), *flips(STEPS, FLIP, tag="icl")]
    write(tmp_path, both, suffix=".1")
    again = np.arange(1600, 4800, 320)
    later = [*flips(again, np.full(10, 0.9)), *flips(again, np.full(10, 0.8), tag="icl")]
    write(tmp_path, later, suffix=".2")
    (run,) = read_curves(tmp_path)
    flip = run.curve("flip")
    np.testing.assert_array_equal(flip.sequences, np.arange(0, 4800, 320))
    np.testing.assert_allclose(flip.values[:5], FLIP[:5], rtol=FLOAT32)
    np.testing.assert_allclose(flip.values[5:], 0.9, rtol=FLOAT32)
    assert any("restarted at 1,600" in note for note in run.notes)


# ---- what is wrong is said -------------------------------------------------------------------


def test_tags_that_tell_nothing_are_named(tmp_path):
    write(tmp_path, flips(tag="val/acc_flipped"))
    with pytest.raises(LogError, match=r"val/acc_flipped.*--columns flip=TAG"):
        read_curves(tmp_path)


def test_a_log_without_scalars_says_what_it_has(tmp_path):
    write(tmp_path, [("note", 0, "hello")])
    with pytest.raises(LogError, match=r"no scalars \(only text\)"):
        read_curves(tmp_path)
    (tmp_path / "begun").mkdir()
    write(tmp_path / "begun", [])
    with pytest.raises(LogError, match="nothing was written yet"):
        read_curves(tmp_path / "begun")


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    write(tmp_path, flips())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LogError, match=r"pip install 'coopetition\[tensorboard\]'"):
        read_curves(tmp_path)


def test_a_last_record_cut_short_is_left_out_and_said(tmp_path):
    file = write(tmp_path, flips())
    file.write_bytes(file.read_bytes()[:-3])
    (run,) = read_curves(tmp_path)
    np.testing.assert_array_equal(run.curve("flip").sequences, STEPS[:-1])
    assert any("cut short" in note for note in run.notes)


@pytest.mark.parametrize("where", ["length", "data"])
def test_damage_in_the_middle_is_refused_rather_than_taken_for_the_end(tmp_path, where):
    file = write(tmp_path, flips())
    content = bytearray(file.read_bytes())
    at = content.index(b"flip", len(content) // 2)
    if where == "data":
        content[at] ^= 1
    else:  # the record's length, whose place follows from the tag's in an event of this layout
        lengths, position = [], 0
        while position < at:
            lengths.append(position)
            position += 16 + int.from_bytes(content[position : position + 8], "little")
        content[lengths[-1] + 4] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(LogError, match="damaged at record"):
        read_curves(tmp_path)


def test_a_folder_without_a_log_says_that_event_files_were_looked_for(tmp_path):
    with pytest.raises(LogError, match=r"\*tfevents\*"):
        read_curves(tmp_path)


def test_the_commands_read_event_files(tmp_path):
    (main,) = read_curves("published:main")
    scalars = [
        (f"eval/{name}", step / 32, value)
        for name in ("train", "icl", "ciwl", "flip")
        for step, value in zip(main.curve(name).sequences, main.curve(name).values, strict=True)
    ]
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, scalars)
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    names = ",".join(f"{name}=eval/{name}" for name in ("train", "icl", "ciwl", "flip"))
    arguments = [str(folder), "--columns", f"{names},sequences=step*32", "--quiet"]
    fit = ["fit", *arguments, "--starts", "1", "--until", "5e6", "--horizon", "2e7", "--json"]
    fitted = CliRunner().invoke(entry.load(), fit)
    assert fitted.exit_code == 0, fitted.output
    (one,) = json.loads(fitted.stdout)
    assert one["run"] == "mine"
    assert one["forecast"]["horizon"] == 2e7
    target = tmp_path / "map.json"
    calibrate = ["calibrate", *arguments, "--until", "2e7", "-o", str(target)]
    calibrated = CliRunner().invoke(entry.load(), calibrate)
    assert calibrated.exit_code == 0, calibrated.output
    source = json.loads(target.read_text())["runs"][0]["source"]
    assert source["format"] == "tensorboard"
