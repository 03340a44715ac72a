"""Intervals from the Fisher information, and the directions in which there is none.

At an optimum χ² grows as δᵀ F δ with F = JᵀJ. Eigenvectors with (almost) no growth are null
directions: a parameter that takes part in one gets no interval (a pseudo-inverse would give a false
one), and neither does one whose interval spans its bounds, which were chosen, not measured.

Reference: Raue et al. 2009, Bioinformatics 25:1923 (identifiability); Seber & Wild 1989,
Nonlinear Regression, section 5.1 (curvature and intervals).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .parameters import Parameter, box

Array = NDArray[np.float64]
Status = Literal[
    "fixed",
    "determined",
    "open below",
    "open above",
    "undetermined",
    "at lower bound",
    "at upper bound",
]

LOADING = 0.1  # share of a null direction from which a parameter counts as part of it
AT_BOUND = 1e-3  # of the box: nearer to a bound than that is at it
CONFIDENCE = 0.95
LOOSE = 0.05  # of the box: a bound whose one-sided interval is longer holds its parameter loosely
ROUNDING = 1e-13  # of the largest eigenvalue: below it an eigenvalue is zero


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedParameter:
    """A parameter's value and its interval.

    Parameters
    ----------
    name, value
        Its name (see `Parameter`), and its value at the optimum or where it was held.
    lower, upper
        Ends of the 95 % interval, cut at the parameter's bounds; None without an interval.
    status
        ``determined``; ``open below`` or ``open above`` (the data limit the other side only, and
        the interval is cut at the bound); ``undetermined`` (part of a null direction, or an
        interval from bound to bound); at a bound (the interval is one-sided); or ``fixed``.
    """

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    status: Status = "fixed"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Information:
    """The free parameters' covariance and null directions, and every parameter's interval."""

    covariance: Array  # (k, k), NaN where a parameter has no interval
    null_directions: tuple[Mapping[str, float], ...]  # exponents by name, the largest ±1
    parameters: tuple[FittedParameter, ...]


def information(
    parameters: Sequence[Parameter],
    theta: Array,
    residuals: Array,
    jacobian: Array,
    variance: float,
    symmetries: Sequence[Mapping[str, float]] = (),
) -> Information:
    """Intervals and null directions at θ ``(k,)`` from weighted residuals ``(n,)``, see `Fit`."""
    from scipy.stats import t as student

    free = [p for p in parameters if p.vary]
    lower, upper = box(free)
    width, k = upper - lower, len(free)
    freedom = max(float(residuals @ residuals) / variance, 1.0)
    reach = float(student.ppf(0.5 + CONFIDENCE / 2, freedom))

    low, high = theta - lower < AT_BOUND * width, upper - theta < AT_BOUND * width
    fisher, gradient = jacobian.T @ jacobian, jacobian.T @ residuals
    # how each symmetry moves the optimiser's numbers, shape (k, symmetries)
    unit = [1.0 if p.scale == "log" else float(v) for p, v in zip(free, theta, strict=True)]
    moves = [[s.get(p.name, 0.0) * u for s in symmetries] for p, u in zip(free, unit, strict=True)]
    basis = np.array(moves, dtype=np.float64).reshape(k, len(symmetries))
    first = _curvature(fisher, ~(low | high), basis, width, variance)
    steps = np.full(k, np.nan)
    for at in np.flatnonzero(low | high):
        couple = fisher[at]
        stiffness = max(float(fisher[at, at] - couple @ first.inverse @ couple), 0.0)
        # the step s > 0 at which 2·slope·s + stiffness·s² reaches the threshold
        slope, threshold = abs(float(gradient[at])), variance * reach**2
        root = float(np.sqrt(slope**2 + stiffness * threshold))
        steps[at] = threshold / (slope + root) if slope + root > 0 else np.inf
    # what a bound holds only loosely moves along with the rest when they are given intervals
    free_to_move = ~(low | high) | (steps > LOOSE * width)
    second = _curvature(fisher, free_to_move, basis, width, variance)
    covariance = variance * np.where(
        np.logical_or.outer(second.lost, second.lost), np.nan, second.inverse
    )

    fitted: dict[str, FittedParameter] = {}
    for j, parameter in enumerate(free):
        below = above = reach * float(np.sqrt(covariance[j, j]))
        at_bound = (low[j] or high[j]) and not (free_to_move[j] and second.lost[j])
        if at_bound:
            below, above = (0.0, steps[j]) if low[j] else (steps[j], 0.0)
        margin = AT_BOUND * width[j]
        open_below = bool(theta[j] - below < lower[j] + margin)
        open_above = bool(theta[j] + above > upper[j] - margin)
        status: Status = "determined"
        if np.isnan(below) or (open_below and open_above):
            status, below, above = "undetermined", np.nan, np.nan
        elif at_bound:
            status = "at lower bound" if low[j] else "at upper bound"
        elif open_below or open_above:
            status = "open below" if open_below else "open above"
        low_end, high_end = (
            None if np.isnan(end) else parameter.to_external(float(end))
            for end in np.clip([theta[j] - below, theta[j] + above], lower[j], upper[j])
        )
        value = parameter.to_external(float(theta[j]))
        fitted[parameter.name] = FittedParameter(
            name=parameter.name, value=value, lower=low_end, upper=high_end, status=status
        )
    names = [p.name for p in free]
    silent = np.array([fitted[name].status == "undetermined" for name in names], dtype=np.bool_)
    return Information(
        covariance=np.where(np.logical_or.outer(silent, silent), np.nan, covariance),
        null_directions=tuple(_named(names, v) for v in second.null.T),
        parameters=tuple(
            fitted.get(p.name, FittedParameter(name=p.name, value=p.value)) for p in parameters
        ),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Curvature:
    """F inverted where it can be ``(k, k)``, null directions ``(k, …)``, what is lost to them."""

    inverse: Array
    null: Array
    lost: NDArray[np.bool_]


def _curvature(
    fisher: Array, moving: NDArray[np.bool_], basis: Array, width: Array, variance: float
) -> _Curvature:
    """F inverted over the moving parameters, without null directions."""
    # null: the symmetries, and what changes χ² by less than one standard deviation across the box
    k = len(fisher)
    which = np.flatnonzero(moving)
    # a scaling that would move a held parameter is no freedom here
    own = basis[np.ix_(which, np.flatnonzero(~np.any(basis[~moving] != 0, axis=0)))]
    away = np.eye(len(which)) - own @ np.linalg.pinv(own)
    values, vectors = np.linalg.eigh(away @ fisher[np.ix_(which, which)] @ away)
    with np.errstate(divide="ignore"):
        length = np.min(width[which, None] / np.abs(vectors), axis=0, initial=np.inf)
    null = variance > np.maximum(values, 0.0) * length**2
    null |= values <= ROUNDING * np.max(values, initial=0.0)
    stiff = vectors[:, ~null]
    inverse, lost = np.zeros((k, k)), ~moving
    inverse[np.ix_(which, which)] = stiff / values[~null] @ stiff.T
    lost[which] = np.sum(vectors[:, null] ** 2, axis=1) > LOADING**2
    spread = np.zeros((k, int(np.sum(null))))
    spread[which] = vectors[:, null]
    return _Curvature(inverse=inverse, null=spread, lost=lost)


def _named(names: Sequence[str], direction: Array) -> Mapping[str, float]:
    loads = direction / direction[np.argmax(np.abs(direction))]
    pairs = zip(names, loads, strict=True)
    return {name: round(float(load), 3) for name, load in pairs if abs(load) >= LOADING}
