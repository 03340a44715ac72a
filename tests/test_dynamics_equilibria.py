"""Equilibria against closed forms, normal forms and the symbolic Jacobian."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import LOGISTIC, OSCILLATOR, own_ode
from tolerances import ROUNDING

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.equilibria import Equilibria, equilibria
from coopetition.dynamics.newton import RESIDUAL
from coopetition.dynamics.reduction import ReducedODE, reduce

ROOT = 1e-8  # coordinates of a simple equilibrium
LOTKA = own_ode("lotka", {"x": "r*x*(1 - x - k*y)", "y": "y*(1 - y - k*x)"}, {"r": 2.0, "k": 0.5})
PITCHFORK = own_ode("pitchfork", {"x": "r*x - x**3"}, {"r": 1.0})
FOLD = own_ode("fold", {"x": "r - x**2"}, {"r": 1.0})


def found(result: Equilibria) -> dict[tuple[float, ...], str]:
    """The type at each state, rounded."""
    return {tuple(round(v, 6) + 0.0 for v in e.state.values()): e.type for e in result.equilibria}


@pytest.mark.parametrize("k", [0.3, 0.5, 2.0])
def test_competition_has_its_four_equilibria(k: float) -> None:
    """Coexistence is stable for k < 1 and a saddle for k > 1, where either wins (Strogatz, 6.4)."""
    result = equilibria(LOTKA, {"k": k}, symbolic_seconds=0)
    alone = "saddle of index 1" if k < 1 else "stable node"
    both = "stable node" if k < 1 else "saddle of index 1"
    middle = round(1 / (1 + k), 6)
    expected = {
        (0.0, 0.0): "unstable node", (1.0, 0.0): alone, (0.0, 1.0): alone, (middle, middle): both,
    }  # fmt: skip
    assert found(result) == expected
    assert not result.manifolds


def test_competition_is_solved_in_symbols() -> None:
    result = equilibria(LOTKA, symbolic_seconds=60)
    k = LOTKA.parameters[1]
    forms = {tuple(e.closed_form.values()) for e in result.equilibria if e.closed_form}
    assert forms == {(0, 0), (1, 0), (0, 1), (1 / (1 + k), 1 / (1 + k))}
    for e in result.equilibria:
        assert e.closed_form is not None
        value = [float(f.subs({k: 0.5})) for f in e.closed_form.values()]
        np.testing.assert_allclose(value, list(e.state.values()), atol=ROOT)


def test_what_sympy_cannot_solve_in_time_is_solved_in_numbers() -> None:
    result = equilibria(LOTKA, symbolic_seconds=1e-3)
    assert len(result.equilibria) == 4
    assert all(e.closed_form is None for e in result.equilibria)


def test_the_eigenvalues_of_coexistence_are_those_of_the_closed_form() -> None:
    """At r = 1 they are −1 and −(1 − k)/(1 + k)."""
    (coexistence,) = (
        e
        for e in equilibria(LOTKA, {"r": 1.0}, symbolic_seconds=0).equilibria
        if e.type == "stable node"
    )
    np.testing.assert_allclose(coexistence.eigenvalues, [-1 / 3, -1], atol=ROOT)


def test_neutral_competition_has_a_line_of_equilibria() -> None:
    result = equilibria(LOTKA, {"r": 1.0, "k": 1.0}, symbolic_seconds=0)
    (line,) = result.manifolds
    assert line.dimension == 1
    assert line.type == "stable node"
    assert line.leading == pytest.approx(-1.0)
    assert sum(line.state.values()) == pytest.approx(1.0, abs=ROOT)
    assert len(result.equilibria) == 2
    assert result.as_dict()["manifolds"] == [
        {"dimension": 1, "equilibrium": 0, "state": dict(line.state)}
    ]


@pytest.mark.parametrize("r", [-2.0, -0.01, 0.0, 0.01, 1.0, 4.0, 100.0])
def test_pitchfork(r: float) -> None:
    """Of x' = r x − x³: 0 is stable for r < 0; for r > 0 it is not, and ±√r are (Strogatz, 3.4)."""
    middle = "stable node" if r < 0 else "unstable node" if r > 0 else "degenerate"
    branches = {(round(s * np.sqrt(r), 6),): "stable node" for s in (-1, 1)} if r > 0 else {}
    result = equilibria(PITCHFORK, {"r": r}, symbolic_seconds=0)
    assert found(result) == {(0.0,): middle, **branches}
    assert not result.manifolds  # the null direction at r = 0 is no continuum


@pytest.mark.parametrize("r", [-1.0, 0.0, 1e-4, 1.0, 50.0])
def test_fold(r: float) -> None:
    """Of x' = r − x²: none for r < 0, then ±√r, of which the positive one is stable."""
    x = round(np.sqrt(max(r, 0.0)), 6)
    pair = {(x,): "stable node", (-x,): "unstable node"}
    expected = pair if r > 0 else {(0.0,): "degenerate"} if r == 0 else {}
    assert found(equilibria(FOLD, {"r": r}, symbolic_seconds=0)) == expected


@pytest.mark.parametrize("k", [1e-2, 3.0, 300.0])
def test_far_and_near_equilibria_are_found(k: float) -> None:
    result = equilibria(LOGISTIC.ode, {"k": k}, symbolic_seconds=0)
    assert found(result) == {(0.0,): "unstable node", (k,): "stable node"}


def test_right_hand_sides_that_overflow_or_are_not_defined_everywhere() -> None:
    ode = own_ode("gompertz", {"g": "-log(g/k)", "e": "exp(e**2) - 3"}, {"k": 2.0})
    states = sorted(tuple(e.state.values()) for e in equilibria(ode).equilibria)
    root = np.sqrt(np.log(3))
    np.testing.assert_allclose(states, [(2, -root), (2, root)], atol=ROOT)


def test_a_centre_a_focus_and_none() -> None:
    (centre,) = equilibria(OSCILLATOR.ode, symbolic_seconds=0).equilibria
    assert centre.type == "centre"
    np.testing.assert_allclose(sorted(centre.eigenvalues.imag), [-2, 2], atol=ROOT)
    spiral = own_ode("spiral", {"x": "s*x - y", "y": "x + s*y"}, {"s": -0.1})
    (focus,) = equilibria(spiral, symbolic_seconds=0).equilibria
    assert focus.type == "stable focus"
    (focus,) = equilibria(spiral, {"s": 0.1}, symbolic_seconds=0).equilibria
    assert (focus.type, focus.index) == ("unstable focus", 2)
    drift = own_ode("drift", {"x": "1/(1 + x**2)"}, {})  # tends to 0 as x grows, and never is
    none = equilibria(drift, symbolic_seconds=0)
    assert none.equilibria == ()
    assert "no equilibrium" in none.summary()


def test_the_papers_model() -> None:
    """With mu1 > 0 CIWL alone is stable, on a surface: b and c, and b c and d, trade scales."""
    result = equilibria("coopetition")
    stable = [e for e in result.equilibria if e.type == "stable node"]
    (ciwl,) = stable
    assert ciwl.dimension == 2
    assert ciwl.verdict == "transient"
    assert ciwl.loss == pytest.approx(0, abs=ROUNDING)
    assert ciwl.strengths == pytest.approx({"icl": 0.0, "ciwl": 1.0}, abs=ROOT)
    (origin,) = (e for e in result.equilibria if not any(e.state.values()))
    # each term of the loss is of at least third order: nothing leaves the origin linearly
    assert (origin.index, origin.type, origin.dimension) == (0, "degenerate", 3)
    np.testing.assert_array_equal(origin.eigenvalues, 0)
    assert origin.loss == pytest.approx(0.6 * 0.5)
    assert origin.verdict == "never"
    assert all(e.dimension for e in result.equilibria)


def test_icl_is_stable_only_without_a_floor() -> None:
    """mu1 = 0 is the model of exact matches, in which ICL persists (arXiv 2503.05631, sec. 6)."""
    result = equilibria("coopetition", {"mu1": 0.0})
    stable = {e.verdict: e for e in result.equilibria if e.type == "stable node"}
    assert set(stable) == {"persistent", "transient"}
    icl = stable["persistent"]
    assert icl.dimension == 2
    assert icl.strengths == pytest.approx({"icl": 1.0, "ciwl": 0.0}, abs=ROOT)


def test_the_origin_of_a_linear_order_is_a_saddle() -> None:
    """IWL of two vectors has a quadratic loss at 0: λ = √(1/(n_e n_c)) L₁L₂ = .22 √(…)/.5."""
    ode = reduce(get("three-strategies"))
    (origin,) = (e for e in equilibria(ode, starts=1).equilibria if not any(e.state.values()))
    assert origin.index == 1
    rate = 0.8 * 0.55 / np.sqrt(20 * 1280)  # (L1 + mu1)(L2 + mu2) √(S_e S_c)/√(n_e n_c)
    assert origin.eigenvalues[0].real == pytest.approx(rate, rel=ROUNDING)


def test_decay_isolates_what_scaling_joins() -> None:
    result = equilibria("decay")
    assert not result.manifolds
    (origin,) = (e for e in result.equilibria if not any(e.state.values()))
    np.testing.assert_allclose(origin.eigenvalues, -1e-4, rtol=ROUNDING)
    assert sum(e.type == "stable node" for e in result.equilibria) == 2


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_model_of_the_catalogue_has_its_equilibria(name: str) -> None:
    result = equilibria(name, starts=128)
    assert any(not any(e.state.values()) for e in result.equilibria)
    assert any(e.type == "stable node" and e.index == 0 for e in result.equilibria)
    for e in result.equilibria:
        assert np.isrealobj(e.eigenvalues) or not np.any(e.eigenvalues.imag)
        assert e.loss is not None
        assert all(value >= 0 for n, value in e.state.items() if n.startswith("y_"))
        assert e.index == np.sum(e.eigenvalues.real > 1e-5) or "degenerate" in e.type
    assert "eigenvalue" in result.summary()


COOPETITION = reduce(get("coopetition"))
# sympy's own code, not the package's
SYMBOLIC = sp.lambdify(
    [COOPETITION.state, COOPETITION.parameters], [COOPETITION.rhs, COOPETITION.jacobian]
)


@settings(max_examples=8, deadline=None)
@given(alpha=st.floats(0.01, 1.0), mu1=st.sampled_from([0.0, 0.05, 0.3]), mu2=st.floats(0.0, 0.3))
def test_equilibria_solve_the_equations(alpha: float, mu1: float, mu2: float) -> None:
    """|f| is small and the eigenvalues are those of the symbolic Jacobian, evaluated by sympy."""
    result = equilibria(COOPETITION, {"alpha": alpha, "mu1": mu1, "mu2": mu2}, starts=64)
    numbers = [result.parameters[name] for name in COOPETITION.parameter_names]
    for e in result.equilibria:
        rhs, jacobian = SYMBOLIC([e.state[name] for name in COOPETITION.state_names], numbers)
        assert np.abs(rhs).max() == pytest.approx(e.residual, abs=ROUNDING)
        assert e.residual <= 10 * RESIDUAL
        expected = np.sort(np.linalg.eigvals(jacobian).real)[::-1]
        scale = max(1.0, float(np.abs(jacobian).max()))
        np.testing.assert_allclose(e.eigenvalues.real, expected, atol=ROOT * scale)
        assert not np.any(e.eigenvalues.imag)


def test_a_gradient_flow_without_mobilities_in_symbols_has_a_real_spectrum() -> None:
    x, y = sp.symbols("x y", real=True)
    loss = (x**2 - 1) ** 2 / 4 + x * y + y**2
    ode = ReducedODE(
        name="valley", state=(x, y), parameters=(), defaults={}, outputs={"total": loss},
        rhs=(-sp.diff(loss, x), -3 * sp.diff(loss, y)), loss=loss,
        mobility=(sp.Integer(1), sp.Integer(3)),
    )  # fmt: skip
    result = equilibria(ode, symbolic_seconds=0)
    assert [e.type for e in result.equilibria] == ["stable node"] * 2 + ["saddle of index 1"]
    assert not any(np.any(e.eigenvalues.imag) for e in result.equilibria)
    losses = [e.loss for e in result.equilibria]
    assert losses == sorted(losses)


def test_results_cannot_be_changed() -> None:
    result = equilibria(FOLD, symbolic_seconds=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.model = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.equilibria[0].eigenvalues[0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"starts": 0}, "starts must be a whole number of at least 1, not 0"),
        ({"reach": -1.0}, "reach must be a positive number, not -1.0"),
        ({"symbolic_seconds": -1}, "symbolic_seconds must be finite, at least 0, not -1"),
        ({"parameters": {"mu": 1.0}}, "unknown parameter of coopetition 'mu'"),
        ({"parameters": {"mu1": -1.0}}, "parameter mu1 must be at least 0, not -1.0"),
        ({"model": "copetition"}, "did you mean 'coopetition'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        equilibria(**{"model": "coopetition", **arguments})
