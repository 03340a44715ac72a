"""The observation model: formulas, derivatives, and which curves a model predicts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FINITE_DIFFERENCES, FLOAT64, TOLERANCE_UNITS

from coopetition.curves.landmarks import landmarks
from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.observation import observe
from coopetition.dynamics.readout import (
    SEPARATE_FLIP,
    Readout,
    is_predicted,
    predicted_keys,
    read,
    readout_parameters,
)
from coopetition.dynamics.reduction import in_sequences, reduce

ACCURACY = "in_context_acc"
TWO = ("icl", "ciwl")
unit = st.floats(0.0, 1.0)
gain = st.floats(0.3, 10.0)


def sigma(u: float) -> float:
    return 1 / (1 + np.exp(-u))


def outputs(icl: float, ciwl: float, iwl: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "icl_strength": np.array([icl]),
        "ciwl_strength": np.array([ciwl]),
        "iwl_strength": np.array([iwl]),
        "icl": np.array([1 - icl]),
        "ciwl": np.array([1 - ciwl]),
        "total": np.array([2 - icl - ciwl]),
    }


@given(unit, unit, gain, gain)
def test_accuracies_are_the_stated_formulas(s1: float, s2: float, g1: float, g2: float) -> None:
    readout = Readout(gain_icl=g1, gain_ciwl=g2)
    expected = {
        "train": sigma(g1 * s1 + g2 * s2),
        "icl": sigma(g1 * s1),
        "ciwl": sigma(g2 * s2),
        "flip": sigma(g1 * s1 - g2 * s2),
    }
    for evaluator, value in expected.items():
        got = read((evaluator, ACCURACY), outputs(s1, s2), TWO, readout).value[0]
        assert got == pytest.approx(value, abs=FLOAT64)


@given(unit, unit)
def test_exchanging_the_strategies_mirrors_flip_and_exchanges_the_rest(
    s1: float, s2: float
) -> None:
    one, other = Readout(gain_icl=2.0, gain_ciwl=3.0), Readout(gain_icl=3.0, gain_ciwl=2.0)

    def value(evaluator: str, a: float, b: float, readout: Readout) -> float:
        return float(read((evaluator, ACCURACY), outputs(a, b), TWO, readout).value[0])

    assert value("icl", s1, s2, one) == value("ciwl", s2, s1, other)
    assert value("train", s1, s2, one) == pytest.approx(value("train", s2, s1, other), abs=FLOAT64)
    assert value("flip", s1, s2, one) == pytest.approx(
        1 - value("flip", s2, s1, other), abs=FLOAT64
    )


@pytest.mark.parametrize("readout", [Readout(gain_icl=1.3, gain_ciwl=3.1), SEPARATE_FLIP])
@pytest.mark.parametrize("key", predicted_keys(("icl", "ciwl", "iwl")))
def test_derivatives_equal_finite_differences(key: tuple[str, str], readout: Readout) -> None:
    strategies = ("icl", "ciwl", "iwl")
    at = outputs(0.4, 0.7, 0.2)
    reading = read(key, at, strategies, readout)
    h = 1e-6
    for name, slope in reading.by_output.items():
        ends = [
            read(key, {**at, name: at[name] + sign * h}, strategies, readout).value[0]
            for sign in (1, -1)
        ]
        assert slope[0] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=FINITE_DIFFERENCES)
    assert set(reading.by_parameter) == set(readout_parameters(strategies, [key], readout))
    for name, slope in reading.by_parameter.items():
        ends = [
            read(
                key,
                at,
                strategies,
                dataclasses.replace(readout, **{name: getattr(readout, name) + sign * h}),
            ).value[0]
            for sign in (1, -1)
        ]
        assert slope[0] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=FINITE_DIFFERENCES)


def test_separate_gains_act_on_flip_alone() -> None:
    plain = Readout(gain_icl=2.0, gain_ciwl=3.0)
    separate = dataclasses.replace(plain, flip_gain_icl=1.0, flip_gain_ciwl=5.0)
    at = outputs(0.5, 0.5)
    for evaluator in ("train", "icl", "ciwl"):
        key = (evaluator, ACCURACY)
        assert read(key, at, TWO, plain).value == read(key, at, TWO, separate).value
    flip = read(("flip", ACCURACY), at, TWO, separate).value[0]
    assert flip == pytest.approx(sigma(0.5 * 1.0 - 0.5 * 5.0), abs=FLOAT64)


def test_a_model_predicts_only_what_its_strategies_decide() -> None:
    assert set(predicted_keys(["icl"])) == {
        ("icl", ACCURACY), ("icl", "loss"), ("train", "loss"),
    }  # fmt: skip
    assert ("iwl", "acc") in predicted_keys(["icl", "ciwl", "iwl"])
    assert not is_predicted(TWO, ("iwl", "acc"))
    assert not is_predicted(TWO, ("flip", "acc"))
    with pytest.raises(ValueError, match="flip/in_context_acc"):
        read(("flip", ACCURACY), outputs(0.5, 0.5), ["icl"], Readout())


@pytest.mark.parametrize("model", ["coopetition", "induction", "three-strategies", "independent"])
def test_every_catalogue_model_can_be_observed(model: str) -> None:
    trajectory = integrate(get(model), until=200.0, times=np.linspace(0, 200, 9), compiled=False)
    curves = observe(trajectory, Readout(sequences_per_time=50.0))
    assert set(curves.curves) == set(predicted_keys(get(model).strategy_names))
    for curve in curves:
        assert curve.sequences[-1] == pytest.approx(50.0 * 200.0)
        if curve.metric != "loss":
            assert np.all((curve.values >= 0) & (curve.values <= 1))
    assert curves.source["model"] == model


def test_paced_system_is_the_same_in_sequences() -> None:
    model, rate = get("coopetition"), 250.0
    times = np.linspace(0.0, 400.0, 7)
    start = np.array([0.2, 0.1, 0.3, 0.0, 0.25, 0.0, 0.3, 0.1])
    rtol = 1e-10
    options = {"start": start, "compiled": False, "rtol": rtol, "atol": 1e-12}
    plain = integrate(model, until=400.0, times=times, **options)
    paced = integrate(
        in_sequences(reduce(model)),
        parameters={"sequences_per_time": rate},
        until=400.0 * rate,
        times=times * rate,
        **options,
    )
    assert paced.states == pytest.approx(plain.states, abs=TOLERANCE_UNITS * rtol)


@pytest.mark.parametrize(
    ("field", "value"),
    [("gain_icl", np.nan), ("sequences_per_time", 0.0), ("loss_scale_icl", np.inf)],
)
def test_unfit_readouts_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Readout(**{field: value})


def test_a_failed_integration_is_told_of_by_its_curves_and_their_landmarks() -> None:
    model = get("coopetition")
    failed, fine = (integrate(model, max_steps=n, method="dopri5") for n in (50, 10_000))
    assert not failed.status.ok
    (note,) = observe(failed).notes
    assert f"at time {failed.reached:g} of 16000" in note
    assert failed.status.explanation in note
    assert note in landmarks(observe(failed)).notes
    assert observe(fine).notes == ()


def test_another_method_that_had_to_be_used_is_told_of() -> None:
    trajectory = integrate(get("coopetition"), max_steps=300)
    assert trajectory.notes
    assert observe(trajectory).notes[: len(trajectory.notes)] == trajectory.notes
