"""Scalings of a toy model's parameters that no curve can show.

Stretching a vector while shrinking another, or its target, leaves every normalised strength as it
was. Such a scaling shifts the logarithms of the parameters by fixed amounts; all of them together
are the null space of a small linear system, solved here exactly from the declaration:

    strategy i      Σ_{v ∈ i} (ξ_v − σ_v/2) = 0           its normalised strength must not change
    floor of i      φ = λ_i,  λ_i = Σ_{v ∈ i} σ_v         L_i scales as the product of its targets
    cost j          ω + 2 Σ_{v ∈ j} ξ_v = Λ,  Λ = Σ λ_i   as the product of strategies
    decay of v      δ + ν_v + 2ξ_v = Λ
    flow of v       ν_v = Λ − κ − 2ξ_v                    from dx/dt = −(1/n) ∂L/∂x

ξ, σ, ν are the shifts of log x_v (and y_v), S_v, n_v; φ, ω, δ those of floors, weights and decay
rates, κ that of sequences per unit of time. For the paper's model this shows that S_v = 1 and
n_a = n_b = n_c lose no generality: what looked like shared circuits becoming infinitely fast is the
scaling (a, d) → t(a, d), b → b/√t, c → c/√t.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sympy as sp

from ..dynamics.model import Model

RATE = "sequences_per_time"


def scaling_symmetries(model: Model, fixed: Collection[str]) -> tuple[Mapping[str, float], ...]:
    """A basis of the scalings that change no curve and move no fixed parameter.

    ``fixed`` names the parameters held at a value other than 0 (every scaling maps 0 to 0). Each
    scaling maps parameters' names to exponents.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> model = get("coopetition")
    >>> targets = [f"S_{v}" for v in model.vectors]
    >>> len(scaling_symmetries(model, targets))
    3
    >>> scaling_symmetries(model, [*targets, "n_a", "n_b", "n_c"])
    ()
    """
    own = (f"{kind}_{vector}" for kind in ("x", "y", "S", "n") for vector in model.vectors)
    names = (*own, *model.parameters, RATE)
    shift = dict(zip(names, sp.symbols(f"s0:{len(names)}"), strict=True))
    equations = [shift[name] for name in fixed if name in shift]
    xi, sigma = ({v: shift[f"{k}_{v}"] for v in model.vectors} for k in ("x", "S"))
    equations += [shift[f"y_{v}"] - xi[v] for v in model.vectors]
    scale = {s.name: sp.Add(*(sigma[v] for v in s.factors)) for s in model.strategies}
    product = sp.Add(*scale.values())
    for strategy in model.strategies:
        equations.append(sp.Add(*(xi[v] - sigma[v] / 2 for v in strategy.factors)))
        if strategy.floor is not None:
            equations.append(shift[strategy.floor] - scale[strategy.name])
    for cost in model.costs:
        equations.append(shift[cost.weight] + 2 * sp.Add(*(xi[v] for v in cost.factors)) - product)
    for vector, rate in model.decay.items():
        equations.append(shift[rate] + shift[f"n_{vector}"] + 2 * xi[vector] - product)
    for vector in model.vectors:
        equations.append(shift[f"n_{vector}"] - product + shift[RATE] + 2 * xi[vector])
    matrix = sp.Matrix([[equation.coeff(s) for s in shift.values()] for equation in equations])
    return tuple(
        {name: float(e) for name, e in zip(names, direction, strict=True) if e != 0}
        for direction in matrix.nullspace()
    )


def gauge(model: Model, fixed: Collection[str]) -> tuple[str, ...]:
    """Dimensions n_v to hold so that no scaling is left, the first declared first.

    A dimension is held only where that removes a symmetry, so nothing is lost.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> gauge(get("coopetition"), ["S_a", "S_b", "S_c", "S_d"])
    ('n_a', 'n_b', 'n_c')
    """
    held: list[str] = []
    left = len(scaling_symmetries(model, fixed))
    for name in (f"n_{vector}" for vector in model.vectors):
        if left and len(scaling_symmetries(model, [*fixed, *held, name])) < left:
            held.append(name)
            left -= 1
    return tuple(held)
