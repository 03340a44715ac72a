import dataclasses

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import drawn_vectors, full_gradient, full_losses, own_ode, small_models
from tolerances import FLOAT64, ROUNDING

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.model import Cost, Model, Strategy
from coopetition.dynamics.reduction import reduce, squared_distance
from coopetition.dynamics.starts import project
from coopetition.errors import ModelError

MODELS = tuple(CATALOGUE)


def values_at(ode, start):
    """Every symbol's value at a start, the declared parameters at their defaults."""
    values = {**ode.defaults, **start.parameters}
    return {
        **dict(zip(ode.state, start.state.tolist(), strict=True)),
        **{symbol: values[symbol.name] for symbol in ode.parameters},
    }


def evaluate(expressions, values):
    function = sp.lambdify(list(values), list(expressions), "numpy")
    return np.array(function(*values.values()), dtype=float)


@settings(max_examples=12, deadline=None)
@given(model=small_models(), seed=st.integers(0, 10**6))
def test_reduced_descent_is_the_projection_of_descent_in_the_full_vectors(model, seed):
    vectors, targets = drawn_vectors(model, seed)
    ode = reduce(model)
    start = project(model, vectors, targets)
    values = values_at(ode, start)
    step = 1e-3
    gradient = full_gradient(model, vectors, targets, model.parameters)
    moved = project(
        model, {v: vectors[v] - step * gradient[v] for v in model.vectors}, targets
    ).state
    expected = start.state + step * evaluate(ode.rhs, values)
    # a rest of length y has no sign; in one dimension there is none but rounding
    expected[1::2] = np.abs(expected[1::2])
    assert moved == pytest.approx(expected, rel=ROUNDING, abs=1e-7)
    assert moved[::2] == pytest.approx(expected[::2], rel=ROUNDING, abs=FLOAT64)


@settings(max_examples=12, deadline=None)
@given(model=small_models(), seed=st.integers(0, 10**6))
def test_losses_and_strengths_are_those_of_the_full_tensors(model, seed):
    vectors, targets = drawn_vectors(model, seed)
    ode = reduce(model)
    values = values_at(ode, project(model, vectors, targets))
    outputs = dict(zip(ode.outputs, evaluate(ode.outputs.values(), values), strict=True))
    losses = full_losses(model, vectors, targets)
    floors = [model.parameters[s.floor] if s.floor else 0.0 for s in model.strategies]
    total = np.prod([losses[s.name] + m for s, m in zip(model.strategies, floors, strict=True)])
    total -= np.prod(floors)
    for cost in model.costs:
        square = np.prod([np.mean(vectors[v] ** 2) for v in cost.factors])
        total += model.parameters[cost.weight] * square / 2
    for v, rate in model.decay.items():
        total += model.parameters[rate] * np.sum(vectors[v] ** 2) / 2
    assert outputs["total"] == pytest.approx(total, rel=ROUNDING)
    for s in model.strategies:
        assert outputs[s.name] == pytest.approx(losses[s.name], rel=ROUNDING)
        strength = np.prod([
            vectors[v] @ targets[v] / np.linalg.norm(targets[v])
            / np.sqrt(len(vectors[v]) * np.mean(targets[v] ** 2))
            for v in s.factors
        ])  # fmt: skip
        assert outputs[f"{s.name}_strength"] == pytest.approx(strength, rel=ROUNDING, abs=FLOAT64)


@pytest.mark.parametrize("name", MODELS)
def test_the_jacobian_of_a_gradient_flow_is_symmetric_up_to_its_mobility(name):
    ode = reduce(get(name))
    rng = np.random.default_rng(1)
    symbols = (*ode.state, *ode.parameters)
    jacobian = sp.lambdify(symbols, ode.jacobian, "numpy")
    mobility = sp.lambdify(symbols, ode.mobility, "numpy")
    for _ in range(3):
        at = (*rng.normal(size=len(ode.state)), *rng.uniform(0.5, 20, len(ode.parameters)))
        # f = −M ∇L with M diagonal: M⁻¹ J is minus a Hessian
        hessian = np.array(jacobian(*at), dtype=float) / np.array(mobility(*at))[:, None]
        scale = np.abs(hessian).max()
        assert np.abs(hessian - hessian.T).max() <= FLOAT64 * scale


@pytest.mark.parametrize(
    ("name", "quantities"),
    [
        ("coopetition", ["n_b*b - n_c*c"]),
        ("induction", ["n_a*a - n_b*b", "n_a*a - n_c*c"]),
        ("independent", ["n_b*b - n_c*c", "n_e*e - n_f*f", "n_d*d - n_e*e - n_a*a + n_b*b"]),
        ("cooperation", ["n_b*b - n_c*c", "n_a*a + n_d*d - n_b*b"]),
        ("decay", []),
        ("three-strategies", []),
    ],
)
def test_conserved_quantities_are_those_worked_out_by_hand(name, quantities):
    model = get(name)
    ode = reduce(model)
    by_name = {s.name: s for s in (*ode.state, *ode.parameters)}
    squares = {sp.Symbol(v): by_name[f"x_{v}"] ** 2 + by_name[f"y_{v}"] ** 2 for v in model.vectors}
    rates = {sp.Symbol(f"n_{v}"): by_name[f"n_{v}"] for v in model.vectors}
    expected = [
        sp.sympify(text, locals={s.name: s for s in squares}).subs({**squares, **rates})
        for text in quantities
    ]
    # the same space: each in terms of n_v |v|² as coordinates
    terms = [n * squares[sp.Symbol(s.name[2:])] for s, n in rates.items()]

    def coordinates(quantity):
        # at x_v = 1, all else 0, a quantity is the coefficient of n_v times n_v
        return [
            sp.expand(quantity).subs(
                {s: (1 if s.name == f"x_{v}" else 0) for s in ode.state} | {by_name[f"n_{v}"]: 1}
            )
            for v in model.vectors
        ]

    conserved = sp.Matrix([coordinates(q) for q in ode.conserved] or [[0] * len(terms)])
    wanted = sp.Matrix([coordinates(q) for q in expected] or [[0] * len(terms)])
    assert len(ode.conserved) == len(quantities) == wanted.rank()
    assert conserved.rank() == wanted.rank() == conserved.col_join(wanted).rank()


@settings(max_examples=6, deadline=None)
@given(model=small_models())
def test_conserved_quantities_do_not_change_along_the_right_hand_side(model):
    ode = reduce(model)
    for quantity in ode.conserved:
        change = sum(sp.diff(quantity, s) * f for s, f in zip(ode.state, ode.rhs, strict=True))
        assert sp.expand(change) == 0


def test_squared_distance_is_its_textbook_form():
    x, y, t = (
        {v: sp.Symbol(f"{kind}_{v}", positive=True) for v in "abc"} for kind in ("x", "y", "t")
    )
    target = {v: t[v] ** 2 for v in "abc"}
    textbook = (
        sp.prod(t[v] ** 2 for v in "abc")
        - 2 * sp.prod(t[v] * x[v] for v in "abc")
        + sp.prod(x[v] ** 2 + y[v] ** 2 for v in "abc")
    )
    assert sp.expand(squared_distance("abc", x, y, target) - textbook) == 0


def test_losses_near_zero_keep_their_digits():
    ode = reduce(get("coopetition"))
    outputs = sp.lambdify((*ode.state, *ode.parameters), list(ode.outputs.values()), "numpy")
    tiny = 1e-9
    # all overlaps at their targets but one, which is off by 1e-9: L2 = ½ (1e-9)²
    state = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0 + tiny, 0.0]
    values = dict(zip(ode.outputs, outputs(*state, *ode.defaults.values()), strict=True))
    assert values["ciwl"] == pytest.approx(tiny**2 / 2, rel=1e-6)
    # mu2 = 0: the total is L2 (L1 + mu1), however small
    assert values["total"] == pytest.approx(tiny**2 / 2 * (0.5 + 0.1), rel=1e-6)


def test_exchanging_two_strategies_exchanges_their_equations():
    def declare(first, second):
        return Model(
            name="pair",
            strategies=(Strategy("icl", (first, "b"), floor="mu1"),
                        Strategy("ciwl", (second, "b"), floor="mu2")),
            dimensions={"a": 10, "b": 20, "d": 30},
            costs=(Cost(("a", "d"), weight="alpha"),),
            parameters={"mu1": 0.1, "mu2": 0.0, "alpha": 0.1},
        )  # fmt: skip

    one, other = reduce(declare("a", "d")), reduce(declare("d", "a"))
    mu1, mu2 = one.parameters[0], one.parameters[1]
    exchange = {mu1: mu2, mu2: mu1}
    for a, b in zip(one.rhs, other.rhs, strict=True):
        assert sp.expand(a - b.xreplace(exchange)) == 0
    assert sp.expand(one.outputs["icl"] - other.outputs["ciwl"]) == 0


def test_modified_flow_is_that_of_the_loss_with_a_quarter_of_the_squared_gradient():
    ode = reduce(get("induction"))
    eta = sp.Symbol("eta", positive=True)
    # |∇L|² in the full vectors is Σ_v (∂L/∂x_v)²/n_v + the same for y
    pairs = list(zip(ode.mobility, ode.state, strict=True))
    squared = sum(m * sp.diff(ode.loss, s) ** 2 for m, s in pairs)
    modified = ode.loss + eta / 4 * squared
    for f, m, s in zip(ode.modified_rhs(eta), ode.mobility, ode.state, strict=True):
        difference = f + m * sp.diff(modified, s)
        at = {q: sp.Rational(k + 2, 2 * k + 3) for k, q in enumerate((*ode.state, *ode.parameters))}
        assert sp.N(difference.subs(at).subs(eta, sp.Rational(1, 3)), 30) == pytest.approx(0)


def test_a_system_of_ones_own_is_checked():
    good = own_ode("own", {"y": "-k*y"}, {"k": 1.0})
    assert good.conserved == ()
    with pytest.raises(ModelError, match="'total'"):
        dataclasses.replace(good, outputs={})
    with pytest.raises(ModelError, match=r"'k'.*no default"):
        dataclasses.replace(good, defaults={})
    with pytest.raises(ModelError, match=r"'q'.*neither a state nor a parameter"):
        dataclasses.replace(good, rhs=(sp.Symbol("q"),))
    with pytest.raises(ModelError, match="1 states and 2"):
        dataclasses.replace(good, rhs=good.rhs * 2)
    with pytest.raises(ModelError, match="share a name"):
        dataclasses.replace(good, parameters=(sp.Symbol("y"),), defaults={"y": 1.0})


def test_fingerprints_of_systems_tell_their_equations_apart():
    one = own_ode("one", {"y": "-k*y"}, {"k": 1.0})
    same = own_ode("another name", {"y": "-k*y"}, {"k": 2.0})
    other = own_ode("one", {"y": "-k*y**2"}, {"k": 1.0})
    assert one.fingerprint == same.fingerprint != other.fingerprint
