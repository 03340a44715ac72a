"""Systems whose solution is known, and the toy models' full vectors by brute force."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import sympy as sp
from hypothesis import strategies as st
from numpy.typing import NDArray

from coopetition.dynamics.model import Cost, Model, Strategy
from coopetition.dynamics.reduction import ReducedODE

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """An initial value problem with its exact solution, from times ``(t,)`` to ``(t, state)``."""

    ode: ReducedODE
    start: tuple[float, ...]
    until: float
    exact: Callable[[Floats], Floats]


def own_ode(
    name: str, rhs: Mapping[str, str], parameters: Mapping[str, float], total: str = "0"
) -> ReducedODE:
    """A system written as text: states in the order of ``rhs``."""
    symbols = {n: sp.Symbol(n, real=True) for n in (*rhs, *parameters)}
    return ReducedODE(
        name=name,
        state=tuple(symbols[n] for n in rhs),
        parameters=tuple(symbols[n] for n in parameters),
        defaults=dict(parameters),
        rhs=tuple(sp.sympify(text, locals=symbols) for text in rhs.values()),
        outputs={"total": sp.sympify(total, locals=symbols)},
    )


OSCILLATOR = Problem(
    ode=own_ode("oscillator", {"x": "w*v", "v": "-w*x"}, {"w": 2.0}, total="x"),
    start=(1.0, 0.0),
    until=10.0,
    exact=lambda t: np.stack([np.cos(2 * t), -np.sin(2 * t)], axis=-1),
)
LOGISTIC = Problem(
    ode=own_ode("logistic", {"y": "r*y*(1 - y/k)"}, {"r": 0.5, "k": 3.0}, total="k - y"),
    start=(0.1,),
    until=30.0,
    exact=lambda t: (3 / (1 + 29 * np.exp(-0.5 * t)))[:, None],
)
# every function that code can be generated for, each with its closed form
FUNCTIONS = Problem(
    ode=own_ode(
        "functions",
        {
            "e": "exp(-e)",
            "s": "sqrt(s)",
            "g": "-g*log(g)",
            "c": "c**(1/3)",
            "i": "pi*i**(-2)",
            "h": "h**(-3/2)",
        },
        {},
    ),
    start=(0.5, 1.0, 0.2, 1.0, 1.0, 1.0),
    until=4.0,
    exact=lambda t: np.stack(
        [
            np.log(t + np.exp(0.5)),
            (1 + t / 2) ** 2,
            np.exp(np.log(0.2) * np.exp(-t)),
            (1 + 2 * t / 3) ** 1.5,
            (1 + 3 * np.pi * t) ** (1 / 3),
            (1 + 2.5 * t) ** 0.4,
        ],
        axis=-1,
    ),
)
# eigenvalues −1 and −10⁵: after the first moments only the slow one is seen
STIFF_LINEAR = Problem(
    ode=own_ode(
        "stiff-linear", {"u": "-(1 + k)/2*u + (k - 1)/2*v", "v": "(k - 1)/2*u - (1 + k)/2*v"},
        {"k": 1e5},
    ),
    start=(2.0, 0.0),
    until=10.0,
    exact=lambda t: np.stack(
        [np.exp(-t) + np.exp(-1e5 * t), np.exp(-t) - np.exp(-1e5 * t)], axis=-1
    ),
)  # fmt: skip
# Robertson (1966); values at t = 40 as in Hairer & Wanner, Solving ODEs II, IV.10
ROBERTSON = own_ode(
    "robertson",
    {
        "a": "-k1*a + k3*b*c",
        "b": "k1*a - k3*b*c - k2*b**2",
        "c": "k2*b**2",
    },
    {"k1": 0.04, "k2": 3e7, "k3": 1e4},
)
ROBERTSON_AT_40 = (0.7158270688, 9.185534765e-6, 0.2841637457)
# dy/dt = y², y(0) = y0 has a pole at t = 1/y0
POLE = own_ode("pole", {"y": "g*y**2"}, {"g": 1.0}, total="y")


def outer(vectors: Mapping[str, Floats], factors: tuple[str, ...]) -> Floats:
    """The outer product of some vectors, a tensor of one axis a factor."""
    product: Floats = np.array(1.0)
    for factor in factors:
        product = np.multiply.outer(product, vectors[factor])
    return product


def _contract(tensor: Floats, vectors: Mapping[str, Floats], factors: tuple[str, ...]) -> dict:
    """For each factor the tensor contracted with all others, over the number of its entries."""
    gradients = {}
    for factor in factors:
        rest = tensor
        for axis in reversed(range(len(factors))):
            if factors[axis] != factor:
                rest = np.tensordot(rest, vectors[factors[axis]], axes=(axis, 0))
        gradients[factor] = rest / tensor.size
    return gradients


def full_losses(
    model: Model, vectors: Mapping[str, Floats], targets: Mapping[str, Floats]
) -> dict[str, float]:
    """L_i of each strategy from the tensors themselves."""
    return {
        s.name: 0.5 * float(np.mean((outer(targets, s.factors) - outer(vectors, s.factors)) ** 2))
        for s in model.strategies
    }


def full_gradient(
    model: Model,
    vectors: Mapping[str, Floats],
    targets: Mapping[str, Floats],
    parameters: Mapping[str, float],
) -> dict[str, Floats]:
    """∂L/∂v of every vector from the tensors themselves, with no thought of overlaps or norms."""
    losses = full_losses(model, vectors, targets)
    floors = {s.name: parameters[s.floor] if s.floor else 0.0 for s in model.strategies}
    gradient = {v: np.zeros(len(vectors[v])) for v in model.vectors}
    for s in model.strategies:
        others = np.prod([losses[o] + floors[o] for o in losses if o != s.name])
        residual = outer(vectors, s.factors) - outer(targets, s.factors)
        for v, part in _contract(residual, vectors, s.factors).items():
            gradient[v] += others * part
    for cost in model.costs:
        tensor = outer(vectors, cost.factors)
        for v, part in _contract(tensor, vectors, cost.factors).items():
            gradient[v] += parameters[cost.weight] * part
    for v, rate in model.decay.items():
        gradient[v] += parameters[rate] * vectors[v]
    return gradient


@st.composite
def small_models(draw: st.DrawFn) -> Model:
    """Declared models of 1 to 3 strategies over 2 to 4 small vectors."""
    vectors = "abcd"[: draw(st.integers(2, 4))]
    groups = st.lists(st.sampled_from(vectors), min_size=1, max_size=3, unique=True).map(tuple)
    products = draw(st.lists(groups, min_size=1, max_size=3))
    products[0] = (*products[0], *(v for v in vectors if not any(v in p for p in products)))
    costs = draw(st.lists(groups, max_size=2))
    rates = st.floats(0.01, 1.0)
    floors = {f"mu{k}": draw(rates) for k in range(len(products)) if draw(st.booleans())}
    decaying = draw(st.lists(st.sampled_from(vectors), max_size=2, unique=True))
    return Model(
        name="drawn",
        strategies=tuple(
            Strategy(f"way{k}", product, floor=f"mu{k}" if f"mu{k}" in floors else None)
            for k, product in enumerate(products)
        ),
        dimensions={v: draw(st.integers(1, 5)) for v in vectors},
        costs=tuple(Cost(factors, weight=f"alpha{k}") for k, factors in enumerate(costs)),
        parameters={
            **floors,
            **{f"alpha{k}": draw(rates) for k in range(len(costs))},
            **{f"decay_{v}": draw(rates) for v in decaying},
        },
        decay={v: f"decay_{v}" for v in decaying},
    )


def drawn_vectors(model: Model, seed: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Standard normal initial and target vectors."""
    rng = np.random.default_rng(seed)
    initial = {v: rng.normal(size=n) for v, n in model.dimensions.items()}
    return initial, {v: rng.normal(size=n) for v, n in model.dimensions.items()}
