"""Effects of settings on parameters, by regression over the runs.

Near its optimum a run's log-likelihood is quadratic, b·θ − ½ θᵀ H θ. With θ = E z + d, covariates
z, effects E and a run's own deviation d ~ N(0, Ω⁻¹), d integrates out exactly, leaving for E

    −½ mᵀ (Ω − Ω G Ω) m + mᵀ Ω G b,    m = E z,  G = (H + Ω)⁻¹,

a linear regression in which a run's weight is what its log determines: a run that never showed ICL
says nothing of the gain of ICL.

Reference: Lindstrom & Bates 1990, Biometrics 46:673.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays
from .priors import EffectPrior

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Effects(ReadOnlyArrays):
    """The posterior of all effects, jointly normal."""

    columns: tuple[str, ...]  # names of the covariates and offsets
    mean: Array  # (k, columns)
    covariance: Array  # (k, columns, k, columns)

    def at(self, z: Array) -> tuple[Array, Array]:
        """Mean ``(k,)`` and covariance ``(k, k)`` of E z at covariates z, shape ``(columns,)``."""
        return self.mean @ z, np.einsum("acb,c->ab", self.covariance @ z, z)


def regress(
    prior: EffectPrior, deviation: Array, designs: Array, informations: Array, scores: Array
) -> Effects:
    """The posterior of the effects.

    Variances of runs' own deviations ``(k,)``; covariates of the runs ``(runs, columns)``; their H
    and b, ``(runs, k, k)`` and ``(runs, k)``.
    """
    k, columns = prior.mean.shape
    # a column that no run has keeps its prior; leaving it out keeps the system small
    used = np.flatnonzero(np.any(designs != 0, axis=0)) if len(designs) else np.zeros(0, np.intp)
    precision = prior.precision(used)
    linear = np.einsum("acbd,bd->ac", precision, prior.mean[:, used], optimize=True)
    omega, rows = np.diag(1.0 / deviation), np.arange(k)
    for z, information, score in zip(designs[:, used], informations, scores, strict=True):
        inner = np.linalg.inv(information + omega)
        own = np.flatnonzero(z)  # a run has few of the covariates, and its own settings
        weight = omega - omega @ inner @ omega
        precision[np.ix_(rows, own, rows, own)] += np.einsum("ab,c,d->acbd", weight, z[own], z[own])
        linear[:, own] += np.outer(omega @ inner @ score, z[own])
    precision, linear = precision.reshape(linear.size, linear.size), linear.ravel()
    covariance = np.linalg.inv(precision)
    mean = prior.mean.copy()
    mean[:, used] = (covariance @ linear).reshape(k, len(used))
    full = np.zeros((k, columns, k, columns))
    for column in range(columns):
        full[rows, column, rows, column] = prior.spread[:, column] ** 2
    grid = np.ix_(rows, used, rows, used)
    full[grid] = covariance.reshape(k, len(used), k, len(used))
    return Effects(columns=prior.columns, mean=mean, covariance=full)


def expected_deviations(
    effects: Effects, deviation: Array, designs: Array, informations: Array, scores: Array
) -> Array:
    """Sum over the runs of the expected squares of their deviations, shape ``(k,)``."""
    omega = np.diag(1.0 / deviation)
    total = np.zeros(len(deviation))
    for z, information, score in zip(designs, informations, scores, strict=True):
        inner = np.linalg.inv(information + omega)
        mean, spread = effects.at(z)
        own = inner @ (score - information @ mean)
        through = inner @ information
        total += own**2 + np.diag(inner) + np.diag(through @ spread @ through.T)
    return total


ADD = (
    "add runs that differ in what you may change (match_probability, n_classes, n_exemplars, "
    "spread), and some that differ in their seed only; published:* and cpu:* ship with the package"
)


def too_alike(
    names: Sequence[str], combinations: Sequence[Hashable], own: float
) -> tuple[str, ...]:
    """A warning where effects of settings come from priors alone, with the remedy.

    ``own`` is the runs' share in the estimate of how much runs differ; the rest is the prior's.
    """
    if len(set(combinations)) > 1:
        return ()
    if len(names) > 1:
        who = f"the {len(names)} runs differ in no setting that the map knows"
        spread = f"the spread between runs is {100 * (1 - own):.0f} % the prior's"
    else:
        who = f"only one run ({names[0]})" if names else "no run"
        spread = "the spread between runs is the prior's"
    return (f"{who}: effects of settings come from priors alone, and {spread}; {ADD}",)
