"""The exact reduction of a declared model to a few ordinary differential equations.

The loss depends on each vector v only through ⟨v v*⟩ and ⟨v²⟩, since the mean over the entries of a
product of outer products is the product of the means. With

    x_v = v·v*/(|v*|√n_v),   y_v = √(|v|²/n_v − x_v²),   S_v = |v*|²/n_v

⟨v v*⟩ = √S_v x_v and ⟨v²⟩ = x_v² + y_v²; the gradient lies in the span of v* and v, so the part of
v orthogonal to v* keeps its direction, and (x_v, y_v) obey equations of their own, under gradient
flow as under gradient descent:

    dx_v/dt = −(1/n_v) ∂L/∂x_v,   dy_v/dt = −(1/n_v) ∂L/∂y_v

(the model is that of arXiv 2503.05631, section 6). Sympy derives everything here from the
declaration; no equation is written for one model.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence

import sympy as sp

from ..errors import ModelError
from .model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReducedODE:
    """An autonomous system dy/dt = f(y; p) in symbols, and its derivatives.

    Parameters
    ----------
    name
        The model's name.
    state, parameters
        The symbols of y and p, in the order of every array.
    defaults
        Default values of the parameters, by name.
    loss
        What a gradient flow descends; None for other systems.
    mobility
        For a gradient flow the rate of each state: f = −mobility · ∂loss/∂y.
    rhs
        f, one expression a state.
    outputs
        Quantities recorded along a trajectory: ``total`` (the loss without the product of floors),
        the strategies' losses, ``cost`` and ``NAME_strength`` for each strategy.
    """

    name: str
    state: tuple[sp.Symbol, ...]
    parameters: tuple[sp.Symbol, ...]
    defaults: Mapping[str, float]
    rhs: tuple[sp.Expr, ...]
    outputs: Mapping[str, sp.Expr]
    loss: sp.Expr | None = None
    mobility: tuple[sp.Expr, ...] | None = None

    def __post_init__(self) -> None:
        known = {*self.state, *self.parameters}
        names = {symbol.name for symbol in known}
        if len(names) < len(self.state) + len(self.parameters):
            raise ModelError(f"symbols of {self.name!r} share a name; give each a different one")
        if len(self.rhs) != len(self.state):
            raise ModelError(
                f"{self.name!r} has {len(self.state)} states and {len(self.rhs)} right-hand sides; "
                "give one for each state"
            )
        if "total" not in self.outputs:
            raise ModelError(f"outputs of {self.name!r} lack 'total', the loss that stops a run")
        for parameter in self.parameters:
            if parameter.name not in self.defaults:
                raise ModelError(f"parameter {parameter.name!r} of {self.name!r} has no default")
        for expression in (*self.rhs, *self.outputs.values()):
            for symbol in sorted(expression.free_symbols - known, key=str):
                raise ModelError(
                    f"{self.name!r} uses {symbol.name!r}, which is neither a state nor a "
                    "parameter: declare it, with the same assumptions as where it is used"
                )

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states, ``("x_a", "y_a", …)``."""
        return tuple(symbol.name for symbol in self.state)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters: declared ones, then ``n_v`` and ``S_v`` of each vector."""
        return tuple(symbol.name for symbol in self.parameters)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the equations; cached, since printing them takes long."""
        parts = [*self.state, *self.parameters, *self.rhs, *self.outputs.values()]
        text = "\n".join([*map(sp.srepr, parts), *self.outputs])
        return hashlib.sha256(text.encode()).hexdigest()

    @functools.cached_property
    def jacobian(self) -> sp.Matrix:
        """∂f_i/∂y_j, shape ``(state, state)``."""
        return sp.Matrix(self.rhs).jacobian(self.state)

    @functools.cached_property
    def parameter_derivatives(self) -> sp.Matrix:
        """∂f_i/∂p_j, ``(state, parameters)``; with J it drives the sensitivities J S + ∂f/∂p."""
        return sp.Matrix(self.rhs).jacobian(self.parameters)

    def modified_rhs(self, step: sp.Expr) -> tuple[sp.Expr, ...]:
        """The flow that gradient descent of step size η follows to second order, f − (η/2) J f.

        For a gradient flow it is the flow of L + (η/4)|∇L|² (backward error analysis; Barrett &
        Dherin 2020, arXiv 2009.11162, eq. 5), the gradient taken in the full vectors.
        """
        acceleration = self.jacobian * sp.Matrix(self.rhs)
        return tuple(f - step / 2 * a for f, a in zip(self.rhs, acceleration, strict=True))

    def with_parameter(self, symbol: sp.Symbol, rhs: Iterable[sp.Expr]) -> ReducedODE:
        """The system with another right-hand side and one more parameter (default 1), no loss."""
        return dataclasses.replace(
            self,
            parameters=(*self.parameters, symbol),
            defaults={**self.defaults, symbol.name: 1.0},
            rhs=tuple(rhs),
            loss=None,
            mobility=None,
        )

    @functools.cached_property
    def conserved(self) -> tuple[sp.Expr, ...]:
        """Independent conserved quantities Σ g_v n_v (x_v² + y_v²) of the flow.

        L is unchanged under v → e^{ε g_v} v exactly where Σ_v g_v (x_v ∂L/∂x_v + y_v ∂L/∂y_v) = 0;
        along the gradient flow that sum is −½ d/dt Σ_v g_v n_v (x_v² + y_v²). The weights g span
        the null space of these derivatives at rational points, and are then checked symbolically.
        """
        if self.loss is None or self.mobility is None:
            return ()
        loss, mobility = self.loss, self.mobility
        pairs = [self.state[i : i + 2] for i in range(0, len(self.state), 2)]
        norms = [sum(s**2 for s in pair) / m for pair, m in zip(pairs, mobility[::2], strict=True)]
        change = [sum(s * sp.diff(loss, s) for s in pair) for pair in pairs]
        symbols = [*self.state, *self.parameters]
        primes = [sp.Integer(sp.prime(k + 1)) for k in range(2 * len(pairs) + len(symbols))]
        rows = []
        for shift in range(2 * len(pairs)):
            # squares, so that the roots √S_v stay rational
            point = {s: (primes[k + shift] / (k + 2)) ** 2 for k, s in enumerate(symbols)}
            rows.append([term.xreplace(point) for term in change])
        return tuple(
            sum(g * norm for g, norm in zip(weights, norms, strict=True))
            for weights in sp.Matrix(rows).nullspace()
            if sp.expand(sum(g * term for g, term in zip(weights, change, strict=True))) == 0
        )


def squared_distance(
    factors: Sequence[str], x: Mapping[str, sp.Symbol], y: Mapping[str, sp.Symbol],
    target: Mapping[str, sp.Expr],
) -> sp.Expr:  # fmt: skip
    """⟨(⊗ v* − ⊗ v)²⟩ = Π S_v − 2 Π √S_v x_v + Π (x_v² + y_v²), as a sum of squares.

    It is written (Π √S_v − Π x_v)² + Σ_k (Π_{j<k} x_j²) y_k² (Π_{j>k} (x_j² + y_j²)), so that no
    digits are lost as the overlaps reach their targets.
    """
    overlap = sp.Mul(*(x[v] for v in factors))
    rest = [
        sp.Mul(
            *(x[v] ** 2 for v in factors[:k]),
            y[vector] ** 2,
            *(x[v] ** 2 + y[v] ** 2 for v in factors[k + 1 :]),
        )
        for k, vector in enumerate(factors)
    ]
    return (sp.Mul(*(sp.sqrt(target[v]) for v in factors)) - overlap) ** 2 + sp.Add(*rest)


def reduce(model: Model) -> ReducedODE:
    """The exact reduced ODE of a declared model.

    Its states are x_v and y_v of each vector; its parameters are the declared ones, then n_v and
    S_v (default 1, the expectation for standard normal targets).

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> reduce(get("induction")).state_names
    ('x_a', 'y_a', 'x_b', 'y_b', 'x_c', 'y_c')
    """
    vectors = model.vectors
    x, y = ({v: sp.Symbol(f"{kind}_{v}", real=True) for v in vectors} for kind in "xy")
    n, target = ({v: sp.Symbol(f"{kind}_{v}", positive=True) for v in vectors} for kind in "nS")
    declared = {name: sp.Symbol(name, nonnegative=True) for name in model.parameters}

    square = {v: x[v] ** 2 + y[v] ** 2 for v in model.vectors}
    losses = {s.name: squared_distance(s.factors, x, y, target) / 2 for s in model.strategies}
    floors = {s.name: declared[s.floor] if s.floor else sp.Integer(0) for s in model.strategies}
    costs = [sp.Mul(*(square[v] for v in c.factors)) / 2 for c in model.costs]
    cost = sp.Add(*(declared[c.weight] * k for c, k in zip(model.costs, costs, strict=True)))
    decay = sp.Add(*(declared[rate] * n[v] * square[v] / 2 for v, rate in model.decay.items()))
    loss = sp.Mul(*(losses[name] + floors[name] for name in losses)) + cost + decay

    state = tuple(s for v in model.vectors for s in (x[v], y[v]))
    mobility = tuple(1 / n[v] for v in model.vectors for _ in range(2))
    return ReducedODE(
        name=model.name,
        state=state,
        parameters=(*declared.values(), *n.values(), *target.values()),
        defaults=model.defaults,
        loss=loss,
        mobility=mobility,
        rhs=tuple(-m * sp.diff(loss, s) for m, s in zip(mobility, state, strict=True)),
        outputs={
            "total": _without_floors(losses, floors) + cost + decay,
            **losses,
            "cost": sp.Add(*costs),
            **{
                f"{s.name}_strength": sp.Mul(*(x[v] / sp.sqrt(target[v]) for v in s.factors))
                for s in model.strategies
            },
        },
    )


def _without_floors(losses: Mapping[str, sp.Expr], floors: Mapping[str, sp.Expr]) -> sp.Expr:
    """Π (L_i + μ_i) − Π μ_i as a sum of non-negative terms, one for each set of strategies."""
    _, *terms = itertools.product(*((floors[name], losses[name]) for name in losses))
    return sp.Add(*(sp.Mul(*factors) for factors in terms))


def in_sequences(ode: ReducedODE) -> ReducedODE:
    """The same system with sequences as its time: dy/dm = f(y)/κ, κ = ``sequences_per_time``.

    κ becomes the last parameter, so that derivatives with respect to it are derived as all others.
    """
    import sympy as sp

    rate = sp.Symbol("sequences_per_time", positive=True)
    return ode.with_parameter(rate, (f / rate for f in ode.rhs))
