"""Multinomial logistic regression with a normal prior, and the evidence for its width.

    log p(v | z) = a · log p₀(v) + w_v · z − log Σ_u exp(a · log p₀(u) + w_u · z),
    w_v ~ N(0, diag τ²),  a ~ N(1, σ²)

Without probabilities p₀ to begin from, the first term is missing. The evidence is Laplace's, from
the Hessian at the maximum.

Reference: MacKay 1992, Neural Computation 4:720.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays

Array = NDArray[np.float64]

POWER_WIDTH = 0.5  # σ


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scaling(ReadOnlyArrays):
    """Covariates as a regression takes them: those that differ, standardised, and a constant."""

    names: tuple[str, ...]  # of the covariates that differ between the rows it was made of
    centre: Array  # their means, (names,)
    scale: Array  # and standard deviations, (names,)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]]) -> Scaling:
        """The scaling of rows with the same covariates."""
        names = tuple(name for name in rows[0] if len({row[name] for row in rows}) > 1)
        raw = np.array([[row[name] for name in names] for row in rows])
        raw = raw.reshape(len(rows), len(names))
        return cls(names=names, centre=raw.mean(axis=0), scale=raw.std(axis=0))

    def z(self, row: Mapping[str, float]) -> Array:
        """One row, the constant last, shape ``(names + 1,)``."""
        raw = np.array([row[name] for name in self.names])
        return np.append((raw - self.centre) / self.scale, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Multinomial(ReadOnlyArrays):
    """A fitted regression."""

    weights: Array  # w, (verdicts, k)
    power: float  # a, 1 without probabilities to begin from
    log_evidence: float  # of the outcomes, up to a constant of the data


def fit_multinomial(
    z: Array,
    outcomes: Array,
    tau: Array,
    *,
    log_first: Array | None = None,
    counts: Array | None = None,
) -> Multinomial:
    """The maximum of the posterior; a `ValueError` if a covariate is not finite.

    Shapes: z ``(n, k)``, one covariate constant; outcomes ``(n, verdicts)``, 1 for what happened
    and 0 else; τ ``(k,)``; log p₀ ``(n, verdicts)``; counts ``(n,)``, as how many observations a
    row counts, 1 when None.
    """
    from scipy.optimize import minimize

    kinds, k = outcomes.shape[1], z.shape[1]
    weight = np.ones(len(z)) if counts is None else counts
    first = np.zeros_like(outcomes) if log_first is None else log_first
    precise = np.append(np.tile(tau**-2.0, kinds), POWER_WIDTH**-2)
    centre = np.append(np.zeros(kinds * k), 1.0)

    def cost(flat: Array) -> tuple[float, Array]:
        logits = z @ flat[:-1].reshape(kinds, k).T + flat[-1] * first
        top = logits.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        off = flat - centre
        residuals = weight[:, None] * (softmax(logits) - outcomes)
        value = weight @ (total - np.sum(logits * outcomes, axis=1)) + 0.5 * off @ (precise * off)
        slope = np.append((residuals.T @ z).ravel(), np.sum(residuals * first))
        return float(value), slope + precise * off

    mode = minimize(cost, centre, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    if not math.isfinite(mode.fun):
        raise ValueError("covariates of the runs are not finite: leave those runs out")
    weights, power = mode.x[:-1].reshape(kinds, k), float(mode.x[-1])
    chances = softmax(z @ weights.T + power * first)
    hessian = _curvature(z, chances, first, weight) + np.diag(precise)
    _, volume = np.linalg.slogdet(hessian / np.sqrt(np.outer(precise, precise)))
    return Multinomial(weights=weights, power=power, log_evidence=float(-mode.fun - 0.5 * volume))


def _curvature(z: Array, chances: Array, first: Array, weight: Array) -> Array:
    """Second derivatives of −log likelihood with respect to w and a, ``(kinds · k + 1, …)``."""
    kinds, k = chances.shape[1], z.shape[1]
    slopes = np.zeros((len(z), kinds, kinds * k + 1))  # of the logits
    for v in range(kinds):
        slopes[:, v, v * k : (v + 1) * k] = z
    slopes[:, :, -1] = first
    mean = np.einsum("nv,nvi->ni", chances, slopes)
    centred = slopes - mean[:, None, :]
    root = np.sqrt(weight[:, None] * chances)[:, :, None] * centred
    flat = root.reshape(-1, kinds * k + 1)
    return np.asarray(flat.T @ flat)


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
