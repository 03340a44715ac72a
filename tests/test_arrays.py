"""Results that stay as they are, also in other processes; graded times; compiled loops."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Mapping

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition import (
    CATALOGUE,
    arrays,
    descend,
    fit,
    integrate,
    integrate_many,
    integrate_sensitivities,
    random_start,
    read_curves,
)  # fmt: skip
from coopetition.arrays import ReadOnlyMapping, graded_grid
from coopetition.dynamics.phase import phase
from coopetition.dynamics.solver import loop
from coopetition.dynamics.solver.compilation import compile_ode
from coopetition.fitting import residuals
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.discrepancy import Discrepancy
from coopetition.forecasting.settings_map import default_map
from coopetition.proposal.outcome_regression import small_regression
from coopetition.train.compute.cpu import kernels

MODEL = CATALOGUE["coopetition"]
TIMES = [0.0, 10.0, 500.0]
COPIES = (copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result)))
ROUNDING = 1e-9  # relative

items = st.dictionaries(st.text(), st.integers() | st.text())


def sensitivities():
    ode = compile_ode(MODEL)
    states, parameters = len(ode.state_names), len(ode.parameter_names)
    return integrate_sensitivities(
        MODEL,
        times=TIMES,
        start=random_start(MODEL, np.random.default_rng(0)).state,
        start_sensitivities=np.eye(states),
        parameters=[ode.defaults[name] for name in ode.parameter_names],
        parameter_sensitivities=np.zeros((parameters, states)),
    )


MAKERS = {
    "trajectory": lambda: integrate(MODEL, until=500.0),
    "samples": lambda: integrate(MODEL, until=500.0, times=TIMES),
    "lsoda": lambda: integrate(MODEL, until=500.0, method="lsoda"),
    "radau": lambda: integrate(MODEL, until=500.0, method="radau"),
    "descent": lambda: descend(MODEL, until=50.0),
    "batch": lambda: integrate_many(MODEL, parameters={"mu1": [0.1, 0.2]}, times=TIMES),
    "sensitivities": sensitivities,
    "phase": lambda: phase(MODEL, {"mu1": np.array([0.1])}, starts=2, until=500.0),
    "start": lambda: random_start(MODEL, np.random.default_rng(0)),
    "curves": lambda: read_curves("published:mq")[0],
    "fit": lambda: fit(read_curves("published:mq")[0], MODEL, starts=1, screened=16, points=20),
    "map": default_map,
    "effects": lambda: default_map().effects,
    "correction": lambda: default_map().verdict_correction,
    "regression": small_regression,
    "forecast": lambda: forecast_settings(
        {"n_classes": 1600}, default_map(), horizon=1e6, draws=100
    ),
}


@pytest.fixture(scope="module", params=MAKERS)
def result(request):
    return MAKERS[request.param]()


def arrays_of(value):
    """Every array that can be come to through fields, mappings and sequences."""
    if isinstance(value, np.ndarray):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from arrays_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from arrays_of(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from arrays_of(inner)


def test_no_array_of_a_result_or_of_its_copies_can_be_written_to(result):
    for one in (result, *(copied(result) for copied in COPIES)):
        for array in (*arrays_of(one), *arrays_of(getattr(one, "outputs", {}))):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_copies_and_pickles_hold_the_same_numbers(result):
    for copied in COPIES:
        for mine, theirs in zip(arrays_of(result), arrays_of(copied(result)), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        if hasattr(result, "summary"):
            assert copied(result).summary() == result.summary()


@pytest.mark.parametrize("method", ["dopri5", "lsoda", "radau"])
def test_a_trajectory_goes_on_being_one_in_another_process(method, tmp_path):
    trajectory = integrate(MODEL, until=500.0, method=method)
    (tmp_path / "it").write_bytes(pickle.dumps(trajectory))
    program = (
        "import pickle, pathlib, sys\n"
        "it = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(it.outputs_of(it([1.0, 77.7]))['total'].tolist())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "it")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.strip() == str(trajectory.outputs_of(trajectory([1.0, 77.7]))["total"].tolist())


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("value", [*CATALOGUE.values(), Discrepancy(), default_map().priors])
def test_declarations_are_equal_to_their_copies_and_hash_alike(value, copied):
    assert copied(value) == value
    assert hash(copied(value)) == hash(value)


@given(items)
def test_a_read_only_mapping_is_equal_to_what_it_was_made_of_and_apart_from_it(given):
    made = ReadOnlyMapping(given)
    assert made == given
    assert list(made.items()) == list(given.items())
    assert list(reversed(made)) == list(reversed(given))
    assert made | {"more": 0} == {**given, "more": 0}
    assert {"more": 0} | made == {"more": 0, **given}
    assert hash(made) == hash(ReadOnlyMapping(dict(reversed(given.items()))))
    before = dict(given)
    given["another"] = 1
    assert made == before
    with pytest.raises(TypeError, match="item assignment"):
        made["another"] = 1


def test_a_shared_map_answers_the_same_whatever_was_tried_on_it():
    before = forecast_settings({"n_classes": 1600}, default_map(), horizon=1e6, draws=100)
    for array in arrays_of(default_map()):
        with pytest.raises(ValueError, match="read-only"):
            array *= 100
    after = forecast_settings({"n_classes": 1600}, default_map(), horizon=1e6, draws=100)
    assert before.verdict_probability == after.verdict_probability


# ---- graded times ---------------------------------------------------------------------------


@given(st.floats(1e-3, 1e12), st.floats(1e-3, 1e12), st.integers(1, 300))
def test_times_rise_from_nothing_to_the_end_by_growing_steps(end, bend, steps):
    times = graded_grid(end, bend, steps)
    assert times.shape == (steps + 1,)
    assert times[0] == 0.0
    assert times[-1] == end
    gaps = np.diff(times)
    assert np.all(gaps > 0)
    assert np.all(gaps[1:] >= gaps[:-1] * (1 - ROUNDING * end / gaps[:-1]))


def test_steps_are_equal_before_the_bend_and_in_proportion_after_it():
    before, after = np.diff(graded_grid(1.0, 1e4, 50)), graded_grid(1e12, 1.0, 50)
    np.testing.assert_allclose(before, before[0], rtol=1e-6)
    np.testing.assert_allclose(after[20:] / after[19:-1], after[-1] / after[-2], rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_what_is_no_length_is_refused(bad):
    with pytest.raises(ValueError, match=r"end = .*must be a positive number"):
        graded_grid(bad, 1.0, 3)
    with pytest.raises(ValueError, match=r"bend = .*must be a positive number"):
        graded_grid(1.0, bad, 3)


# ---- compiled loops --------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """What numba is asked to cache, where it has no place to: neither package nor home."""
    asked = []
    real = numba.njit

    def njit(*functions, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*functions, **options)

    monkeypatch.setattr(numba, "njit", njit)
    return asked


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: loop.compiled_loops.__wrapped__().advance, 6),
        (residuals._deviance.__wrapped__, 1),
        (lambda: kernels.njit_kernel(kernels.clear_rows.py_func), 1),
        (lambda: kernels.attention_kernels.__wrapped__(4)[1], 2),
    ],
)
def test_loops_are_compiled_also_where_numba_finds_no_folder_for_its_cache(asked, make, count):
    made = make()
    assert asked == [True, False] * count
    assert isinstance(made, numba.core.dispatcher.Dispatcher)


def test_what_is_compiled_does_what_it_did(asked):
    def sum_of(values: np.ndarray) -> float:
        total = 0.0
        for value in values:
            total += value
        return total

    values = np.arange(5.0)
    made = arrays.jit(sum_of)
    arrays.compile_for(made, (values,))
    ready = list(made.signatures)
    assert len(ready) == 1
    assert made(values) == sum_of(values) == 10.0
    arrays.compile_for(made, (values,))
    arrays.compile_for(sum_of, (values,))  # a plain function stays one
    assert made.signatures == ready
