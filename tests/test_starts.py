import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64, STANDARD_ERRORS

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.starts import project, random_start, read_start
from coopetition.errors import CoopetitionError
from coopetition.seeds import stream

PAPER, INDUCTION = get("coopetition"), get("induction")


def vectors(model, rng):
    return {v: rng.normal(size=n) for v, n in model.dimensions.items()}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 50))
def test_projection_keeps_overlap_and_length(seed, size):
    rng = np.random.default_rng(seed)
    initial, target = ({v: rng.normal(size=size) for v in "abc"} for _ in range(2))
    start = project(INDUCTION, initial, target)
    for k, v in enumerate("abc"):
        x, y = start.state[2 * k : 2 * k + 2]
        scale = np.sqrt(start.parameters[f"S_{v}"])
        assert x * scale == pytest.approx(np.mean(initial[v] * target[v]), abs=FLOAT64)
        assert x**2 + y**2 == pytest.approx(np.mean(initial[v] ** 2), rel=1e-10)
        assert y >= 0
        assert start.parameters[f"n_{v}"] == size


def test_only_overlaps_and_lengths_matter():
    rng = np.random.default_rng(0)
    initial, target = vectors(PAPER, rng), vectors(PAPER, rng)
    turned = {}, {}
    for v, n in PAPER.dimensions.items():
        rotation, _ = np.linalg.qr(rng.normal(size=(n, n)))
        turned[0][v], turned[1][v] = rotation @ initial[v], rotation @ target[v]
    assert project(PAPER, *turned).state == pytest.approx(
        project(PAPER, initial, target).state, abs=FLOAT64
    )


def test_random_starts_are_standard_normal_and_their_streams_repeat():
    starts = [random_start(PAPER, stream(k, "start")) for k in range(400)]
    states = np.array([s.state for s in starts])
    n = np.repeat([20, 20, 20, 160], 2)
    # x has mean 0 and variance 1/n; y² has mean (n − 1)/n
    error = 1 / np.sqrt(n * len(starts))
    assert np.all(np.abs(states.mean(axis=0))[::2] < STANDARD_ERRORS * error[::2])
    spread = np.sqrt(2 * (n - 1)) / n / np.sqrt(len(starts))
    mean = (states**2).mean(axis=0)
    assert np.all(np.abs(mean - (n - 1) / n)[1::2] < STANDARD_ERRORS * spread[1::2])
    again = random_start(PAPER, stream(7, "start"))
    assert np.array_equal(again.state, starts[7].state)
    assert again.parameters == starts[7].parameters


def test_scale_is_that_of_the_initial_vectors_alone():
    one = random_start(PAPER, stream(1, "start"))
    small = random_start(PAPER, stream(1, "start"), scale=0.1)
    assert small.state == pytest.approx(0.1 * one.state, rel=1e-12)
    assert small.parameters == one.parameters


def test_a_start_cannot_be_changed():
    start = random_start(PAPER, stream(0, "start"))
    with pytest.raises(ValueError, match="read-only"):
        start.state[0] = 1.0


@pytest.mark.parametrize(
    ("initial", "target", "message"),
    [
        ({"b": None}, {}, "initial vector 'b' of model 'induction' is missing"),
        ({}, {"c": None}, "target vector 'c' of model 'induction' is missing"),
        ({"a": [1.0, 2.0]}, {}, r"vector 'a' has shape \(2,\) and its target \(3,\)"),
        ({"a": []}, {"a": []}, "vector 'a' has shape"),
        ({"a": [[1.0, 2.0]]}, {"a": [[1.0, 2.0]]}, "one-dimensional"),
        ({"b": [1.0, np.nan, 2.0]}, {}, "vector 'b' must be finite"),
        ({}, {"b": [0.0, 0.0, 0.0]}, "its target not zero"),
    ],
)
def test_unfit_vectors_are_named(initial, target, message):
    def given_with(change):
        whole = {v: [1.0, 2.0, 3.0] for v in "abc"} | change
        return {v: value for v, value in whole.items() if value is not None}

    with pytest.raises(ValueError, match=message):
        project(INDUCTION, given_with(initial), given_with(target))


def test_starts_are_read_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    initial, target = vectors(PAPER, rng), vectors(PAPER, rng)
    path = tmp_path / "start.npz"
    arrays = {f"init_{v}": x for v, x in initial.items()}
    np.savez(path, **arrays, **{f"true_{v}": x for v, x in target.items()})
    start = read_start(path, PAPER)
    assert np.array_equal(start.state, project(PAPER, initial, target).state)
    assert start.description == str(path)


def test_files_that_are_no_starts_are_refused_by_name(tmp_path):
    path = tmp_path / "start.npz"
    np.savez(path, init_a=np.ones(3))
    with pytest.raises(ValueError, match=r"has no array 'true_a' \(it has init_a\)"):
        read_start(path, PAPER)
    with pytest.raises(CoopetitionError, match="cannot read start"):
        read_start(tmp_path / "missing.npz", PAPER)
    path.write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(CoopetitionError, match=r"damaged \.npz archive"):
        read_start(path, PAPER)
    path.write_text("plain text")
    with pytest.raises(CoopetitionError, match=r"damaged \.npz archive"):
        read_start(path, PAPER)
    np.save(tmp_path / "start.npy", np.ones(3))
    with pytest.raises(CoopetitionError, match=r"damaged \.npz archive"):
        read_start(tmp_path / "start.npy", PAPER)
