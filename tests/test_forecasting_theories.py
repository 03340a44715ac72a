"""Theories: curves as the package integrates them, exact derivatives; extrapolations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tolerances import BATCH_ACCURACY, FINITE_DIFFERENCES

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.model import Model, Strategy
from coopetition.dynamics.observation import observe
from coopetition.dynamics.readout import Readout
from coopetition.forecasting.theories import (
    EXTRAPOLATIONS,
    THEORIES,
    GaussianProcess,
    Kinetics,
    LastValue,
    Logistics,
    LogitLinear,
    LossComplexity,
)
from coopetition.forecasting.theories.theory import parameter_names, slopes_by_differences
from coopetition.forecasting.theories.toy_model import ToyTheory, interchangeable, toy_theory

TOYS = ("coopetition", "independent", "cooperation", "decay")
TIMES = np.linspace(0.0, 2e7, 41)


def centre(theory) -> np.ndarray:
    return np.log([p.centre for p in theory.parameters])


def test_a_toy_theory_is_the_model_integrated_and_observed():
    theory = toy_theory("coopetition")
    values = dict(zip(parameter_names(theory), np.exp(centre(theory)), strict=True))
    start = [values["x_a"], 0, values["x_b"], 0, values["x_b"], 0, values["x_d"], 0]
    named = {f"x_{v}": s for v, s in zip("abcd", start[::2], strict=True)}
    ode_order = [named.get(n, 0.0) for n in theory._ode.state_names]
    trajectory = integrate(
        get("coopetition"),
        parameters={
            **{n: values[n] for n in ("alpha", "mu1", "mu2", "n_d")},
            **{f"S_{v}": 1.0 for v in "abcd"},
        },
        start=ode_order,
        times=TIMES / values["sequences_per_time"],
        until=float(TIMES[-1] / values["sequences_per_time"]),
    )
    readout = Readout(
        gain_icl=values["gain_icl"],
        gain_ciwl=values["gain_ciwl"],
        flip_gain_icl=values["gain_icl"] * values["flip_factor_icl"],
        flip_gain_ciwl=values["gain_ciwl"] * values["flip_factor_ciwl"],
        sequences_per_time=values["sequences_per_time"],
    )
    expected = observe(trajectory, readout)
    found = theory.curves(centre(theory)[None], TIMES)
    for evaluator in ("train", "icl", "ciwl", "flip"):
        np.testing.assert_allclose(
            found[evaluator][0], expected.curve(evaluator).values, atol=BATCH_ACCURACY
        )


@pytest.mark.parametrize("name", TOYS)
def test_slopes_of_toy_theories_are_exact(name):
    theory = toy_theory(name)
    theta = centre(theory)
    found = theory.slopes(theta, TIMES)
    step = 1e-4
    for j in range(len(theta)):
        ends = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[j] += sign * step
            ends.append(theory.slopes(moved, TIMES))
        for evaluator, (_, slope) in found.items():
            difference = (ends[0][evaluator][0] - ends[1][evaluator][0]) / (2 * step)
            # the simulation's own tolerance, 1e-6, is divided by the step
            np.testing.assert_allclose(slope[:, j], difference, atol=5e-3)


@pytest.mark.parametrize("theory", THEORIES.values(), ids=lambda t: t.name)
def test_rivals_start_at_chance_and_stay_accuracies(theory):
    rng = np.random.default_rng(0)
    thetas = centre(theory) + rng.standard_normal((50, len(theory.parameters)))
    for values in theory.curves(thetas, TIMES).values():
        assert np.all((values >= 0) & (values <= 1))
        assert values.shape == (50, len(TIMES))
    slopes = theory.slopes(centre(theory), TIMES)
    assert slopes is not None
    for value, _ in slopes.values():
        assert value[0] == pytest.approx(0.5, abs=0.05)
    assert slopes["flip"][1].shape == (len(TIMES), len(theory.parameters))


def test_differences_agree_with_a_derivative_known_in_closed_form():
    theory = Logistics()
    theta = centre(theory)
    value, slope = slopes_by_differences(theory, theta, np.array([4e6]))["icl"]
    gain = np.exp(theta[4])
    strength = 1 / (1 + (3e6 / 4e6) ** 4)
    by_gain = value * (1 - value) * gain * strength
    np.testing.assert_allclose(slope[:, 4], by_gain, atol=FINITE_DIFFERENCES)


def test_loss_complexity_weighs_both_alike_at_the_crossing():
    theory = LossComplexity()
    values = {p.name: np.full((1, 1), p.centre) for p in theory.dynamics}
    s1, s2 = theory.strengths(values, np.array([0.0, float(values["crossing"][0, 0])]))
    assert s1[0, 1] == pytest.approx(s2[0, 1])
    assert s1[0, 0] == s2[0, 0] == 0


@pytest.mark.parametrize("decay", [0.05, 0.4, 10.0, 60.0, 1e3])
def test_kinetics_solves_its_equations(decay):
    weight, selectivity, driving, memorising = 0.2, 0.3, 2e6, 1e12

    def flow(_, state):  # with ds = e^β dτ, which makes an end of the blow-up
        w, beta, _ = state
        return [1 - decay * w * np.exp(-beta), w, np.exp(-beta)]

    def complete(_, state):
        return state[1] - 20

    complete.terminal = True
    exact = solve_ivp(
        flow, (0, 1e4), [weight, selectivity, 0], "LSODA", rtol=1e-9, atol=1e-12,
        events=complete, dense_output=True,
    )  # fmt: skip
    assert exact.status == 1
    _, beta, passed = exact.sol(np.linspace(0, exact.t[-1], 20_001))
    tau = passed[-1] * np.array([0.0, 0.2, 0.5, 0.8, 0.9, 1.01])
    theory = Kinetics()
    values = {
        name: np.full((1, 1), value)
        for name, value in {
            "weight": weight, "selectivity": selectivity, "decay": decay, "driving": driving,
            "memorising": memorising,
        }.items()
    }  # fmt: skip
    found, _ = theory.strengths(values, -memorising * np.log1p(-tau * driving / memorising))
    strength = np.interp(tau, passed, np.tanh(beta / 2))
    np.testing.assert_allclose(found[0], strength, atol=BATCH_ACCURACY)


def test_kinetics_gives_strengths_of_any_parameters():
    theory = Kinetics()
    rng = np.random.default_rng(0)
    thetas = centre(theory) + 6 * rng.standard_normal((400, len(theory.parameters)))
    columns = np.exp(thetas[:, :5]).T[:, :, None]
    values = dict(zip((p.name for p in theory.dynamics), columns, strict=True))
    s1, _ = theory.strengths(values, TIMES)
    assert np.all((s1 >= 0) & (s1 <= 1) & (np.diff(s1, prepend=s1[:, :1]) >= 0))


def test_kinetics_never_forms_icl_if_memorising_is_too_fast():
    theory = Kinetics()
    thetas = np.stack([centre(theory)] * 2)
    thetas[:, 0] = np.log([1e7, 2e5])
    icl = theory.curves(thetas, TIMES)["icl"]
    assert icl[0, -1] > 0.75
    assert icl[1, -1] < 0.55


def test_vectors_with_the_same_roles_are_interchangeable():
    assert interchangeable(get("independent")) == (("a",), ("b", "c"), ("d",), ("e", "f"))


@pytest.mark.parametrize("name", TOYS)
def test_each_parameter_moves_the_one_it_is_named_after(name):
    theory = toy_theory(name)
    ode = theory._ode
    for j, parameter in enumerate(parameter_names(theory)[: theory._simulated]):
        moved = [
            n for n, row in zip(ode.parameter_names, theory._to_parameter, strict=True) if row[j]
        ]
        moved += [n for n, row in zip(ode.state_names, theory._to_state, strict=True) if row[j]]
        assert parameter in moved


def test_a_model_without_both_strategies_is_refused():
    lonely = Model(name="lonely", strategies=(Strategy("icl", ("a",)),), dimensions={"a": 3})
    with pytest.raises(ValueError, match="a forecast needs icl and ciwl"):
        ToyTheory(lonely)


# ---- extrapolations of one curve by itself -------------------------------------------------------

PAST = np.linspace(0.0, 10.0, 21)
AHEAD = np.linspace(11.0, 30.0, 8)


@pytest.mark.parametrize("method", EXTRAPOLATIONS, ids=lambda m: m.name)
def test_paths_are_accuracies_and_widen(method):
    rng = np.random.default_rng(0)
    wave = 0.6 + 0.1 * np.sin(PAST) + 0.01 * rng.standard_normal(21)
    found = method.paths(PAST, wave, AHEAD, rng, draws=400)
    assert found.shape == (400, len(AHEAD))
    assert np.all((found >= 0) & (found <= 1))
    assert np.std(found[:, -1]) > 0.9 * np.std(found[:, 0])


def test_last_value_stays_on_average():
    rng = np.random.default_rng(1)
    walk = 0.5 + 0.01 * np.cumsum(rng.standard_normal(21))
    found = LastValue().paths(PAST, walk, AHEAD, rng, draws=4000)
    assert abs(np.mean(found[:, -1]) - np.mean(walk[-3:])) < 0.01


def test_a_line_on_the_logit_scale_is_continued_exactly():
    logit = 1.5 - 0.1 * PAST
    found = LogitLinear().paths(
        PAST, 1 / (1 + np.exp(-logit)), AHEAD, np.random.default_rng(2), draws=200
    )
    np.testing.assert_allclose(found, np.tile(1 / (1 + np.exp(-1.5 + 0.1 * AHEAD)), (200, 1)))


def test_gaussian_process_continues_smoothly_and_forgets():
    values = 0.5 + 0.3 * np.exp(-(((PAST - 8) / 4) ** 2))
    rng = np.random.default_rng(3)
    found = GaussianProcess().paths(PAST, values, np.array([10.2, 60.0]), rng, draws=1000)
    assert abs(np.median(found[:, 0]) - values[-1]) < 0.03
    assert np.std(found[:, 1]) > 5 * np.std(found[:, 0])
