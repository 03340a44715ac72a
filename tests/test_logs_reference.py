"""The reference's log.h5: a real one, and made ones with every accident."""

import json
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64

from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import verdict
from coopetition.errors import LogError
from coopetition.logs import read_curves, reference_log

MATCHED = Path(__file__).parents[1] / "../shared/data/reference_runs/matched"
needs_matched = pytest.mark.skipif(not MATCHED.exists(), reason="shared/data is not here")
N = 50


def write_log(folder, iterations, *, rows=None, groups=("flip_icl", "icl"), config=None, n=N):
    """A log of random values in the reference's layout; value row i of a metric is its own."""
    rng = np.random.default_rng(0)
    rows = len(iterations) if rows is None else rows
    truth = {}
    with h5py.File(folder / "log.h5", "w") as log:
        log["eval_iter"] = np.array(iterations)
        log["train_iter"] = np.array([32.0, 64.0, 96.0])
        for group in groups:
            truth[group] = rng.random((rows, n))
            log[f"{group}/in_context_acc"] = truth[group] < np.linspace(0.2, 0.9, rows)[:, None]
            log[f"{group}/loss"] = truth[group].astype(np.float32)
            truth[group] = log[f"{group}/in_context_acc"][:]
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return truth


@needs_matched
def test_the_real_log_against_its_own_values():
    (run,) = read_curves(MATCHED)
    assert run.run == "matched"
    assert run.evaluators == ("train", "icl", "ciwl", "flip", "iwl")
    assert len(run) == 5 * 8
    with h5py.File(MATCHED / "log.h5") as log:
        for evaluator, group in (("flip", "flip_icl"), ("ciwl", "iwl_copy_avail")):
            values = log[group]["in_context_acc"][:].astype(float)
            curve = run.curve(evaluator)
            np.testing.assert_allclose(curve.values, values.mean(1), atol=FLOAT64)
            sem = values.std(1, ddof=1) / np.sqrt(500)
            np.testing.assert_allclose(curve.sem, sem, atol=FLOAT64)
            assert curve.n.tolist() == [500] * 51
    assert run.last_sequence == 320_000
    assert run.settings["match_probability"] == 1
    assert (run.settings["batch_size"], run.settings["n_classes"]) == (32, 3200)
    assert (run.settings["positions"], run.settings["mlp_ratio"]) == ("learned", 0)
    assert read_curves(MATCHED / "log.h5")[0].to_table().equals(run.to_table())


@needs_matched
def test_the_real_run_emerges_near_100000_sequences_and_stays():
    (run,) = read_curves(MATCHED)
    assert landmarks(run).emergence.value == pytest.approx(1e5, rel=0.05)
    assert verdict(run, 3.2e5) == "persistent"


def test_a_restart_keeps_the_last_segment(tmp_path):
    truth = write_log(tmp_path, [0, 100, 200, 300, 0, 100, 200], config={})
    (run,) = read_curves(tmp_path)
    assert run.curve("flip").sequences.tolist() == [0, 100, 200]
    np.testing.assert_allclose(
        run.curve("flip").values, truth["flip_icl"][4:].mean(1), atol=FLOAT64
    )
    assert any("restarted at 0" in note and "went to 300" in note for note in run.notes)


@pytest.mark.parametrize(
    ("iterations", "rows", "first_row"), [([0, 100, 200], 4, 0), ([0, 100, 0, 100, 200], 6, 3)]
)
def test_a_kill_while_writing_leaves_one_row_more(tmp_path, iterations, rows, first_row):
    truth = write_log(tmp_path, iterations, rows=rows, config={})
    (run,) = read_curves(tmp_path)
    expected = truth["icl"][first_row : first_row + 3].mean(1)
    np.testing.assert_allclose(run.curve("icl").values, expected, atol=FLOAT64)
    assert any("killed while writing" in note for note in run.notes)


def write_resumed_log(folder, runs, *, told=True):
    """The log of (start, stop) training runs, all but the last killed while they evaluate.

    As the reference does: metrics are written first, training steps with the next evaluation. The
    accuracy after s sequences is s/1000; ``told`` says whether training steps are logged.
    """
    rows, iterations, trained = [], [], []
    for start, stop in runs:
        pending = []
        for i in range(start, stop + 1, 10):
            if i % 100 == 0:
                rows.append(i)
                if i < stop or (start, stop) == runs[-1]:
                    iterations.append(i)
                    trained += pending
                    pending = []
            pending.append(i + 10)
    with h5py.File(folder / "log.h5", "w") as log:
        log["eval_iter"] = np.array(iterations)
        log["train_iter"] = np.array(trained if told else [], dtype=float)
        log["flip_icl/in_context_acc"] = np.arange(1000) < np.array(rows)[:, None]
    (folder / "config.json").write_text("{}")


@given(kill=st.integers(1, 5), resumed=st.integers(0, 49))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_resumed_run_keeps_each_value_at_its_evaluation(tmp_path, kill, resumed):
    write_resumed_log(tmp_path, [(0, 100 * kill), (min(10 * resumed, 100 * kill - 10), 600)])
    (run,) = read_curves(tmp_path)
    curve = run.curve("flip")
    np.testing.assert_array_equal(curve.sequences, np.arange(0, 601, 100))
    np.testing.assert_allclose(curve.values, curve.sequences / 1000, atol=FLOAT64)
    assert any("killed while writing" in note for note in run.notes)


def test_of_a_run_resumed_twice_the_evaluations_that_are_certain_are_kept(tmp_path):
    write_resumed_log(tmp_path, [(0, 300), (150, 500), (350, 700)])
    (run,) = read_curves(tmp_path)
    curve = run.curve("flip")
    np.testing.assert_allclose(curve.values, curve.sequences / 1000, atol=FLOAT64)
    assert {0, 100, 400, 500, 600, 700} <= set(curve.sequences)
    assert any("between left out" in note for note in run.notes)


def test_it_is_said_where_a_log_cannot_tell_when_it_was_resumed(tmp_path):
    write_resumed_log(tmp_path, [(0, 300), (250, 500)], told=False)
    (run,) = read_curves(tmp_path)
    assert any("if it was resumed since" in note for note in run.notes)
    write_resumed_log(tmp_path, [(0, 300), (150, 500)], told=False)  # evaluated again at 200
    (run,) = read_curves(tmp_path)
    curve = run.curve("flip")
    np.testing.assert_allclose(curve.values, curve.sequences / 1000, atol=FLOAT64)


def test_steps_are_told_from_sequences(tmp_path):
    write_log(tmp_path, [0, 1, 2], config={"train_bs": 32})
    assert read_curves(tmp_path)[0].last_sequence == 2
    with h5py.File(tmp_path / "log.h5", "a") as log:
        log["train_iter"][:] = [1, 2, 3]
    (run,) = read_curves(tmp_path)
    assert run.last_sequence == 64
    assert any("multiplied by 32" in note for note in run.notes)
    assert read_curves(tmp_path, columns="sequences=eval_iter*8")[0].last_sequence == 16


def test_other_names_of_groups_by_columns(tmp_path):
    write_log(tmp_path, [0, 100], groups=("swapped", "icl"), config={})
    (run,) = read_curves(tmp_path, columns="flip=swapped")
    assert run.evaluators == ("icl", "flip")
    assert ("flip", "loss") in run.curves
    with pytest.raises(ValueError, match="did you mean 'swapped'"):
        read_curves(tmp_path, columns="flip=swaped")


def test_without_config_the_settings_are_not_known(tmp_path):
    write_log(tmp_path, [0, 100])
    (run,) = read_curves(tmp_path)
    assert run.run == tmp_path.name
    assert not run.settings
    assert any("no config.json" in note for note in run.notes)


def test_values_are_streamed_in_blocks(tmp_path, monkeypatch):
    rows, n = 300, 5000
    write_log(tmp_path, np.arange(rows), groups=("flip_icl",), n=n, config={})
    (whole,) = read_curves(tmp_path)
    monkeypatch.setattr(reference_log, "BLOCK_BYTES", 2**18)
    tracemalloc.start()
    (run,) = read_curves(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows * n * 8 / 4  # float64 of one metric is 12 MB
    assert run.to_table().equals(whole.to_table())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda log: log.__delitem__("eval_iter"), "not a log of the reference"),
        (lambda log: (log.__delitem__("icl"), log.__delitem__("flip_icl")), "no evaluator"),
        (
            lambda log: (log.__delitem__("eval_iter"), log.create_dataset("eval_iter", (0,), "i8")),
            "no evaluation yet",
        ),
        (
            lambda log: (log.__delitem__("icl/loss"), log.create_dataset("icl/loss", (3,), "f4")),
            r"icl/loss has shape \(3,\)",
        ),
    ],
)
def test_what_is_no_such_log(tmp_path, damage, message):
    write_log(tmp_path, [0, 100, 200], config={})
    with h5py.File(tmp_path / "log.h5", "a") as log:
        damage(log)
    with pytest.raises(LogError, match=message):
        read_curves(tmp_path)


def test_truncated_and_misconfigured(tmp_path):
    write_log(tmp_path, [0, 100, 200], config={})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LogError, match=r"config\.json is not JSON"):
        read_curves(tmp_path)
    whole = (tmp_path / "log.h5").read_bytes()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "log.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogError, match="truncated or damaged HDF5"):
        read_curves(tmp_path)
