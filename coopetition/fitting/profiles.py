"""Profile likelihoods: how χ² grows along one parameter while all others are refitted.

At each value of the parameter χ² is minimised over the rest, each time from the last optimum. The
profile ends in a verdict: identifiable where it leaves the 95 % threshold on both sides,
structurally non-identifiable where it is flat from bound to bound, practically so in between.

Reference: Raue et al. 2009, Bioinformatics 25:1923.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays
from ..curves.curve import read_only
from ..errors import unknown_name
from .joint_fit import Fit
from .multistart import one_blas_thread, polish
from .problem import Problem

Array = NDArray[np.float64]
Verdict = Literal["identifiable", "practically non-identifiable", "structurally non-identifiable"]

THRESHOLD = 3.841  # 95 % quantile of χ² with one degree of freedom
FLAT = 0.02  # of the threshold: a profile that never rises more than that is flat
BEYOND = 1.5  # times the threshold: how far a profile is followed
STEPS = 24  # most points on each side
RISE = 0.35  # of the threshold: what one step should add
SHARES = (1 / 400, 1 / 8)  # smallest and largest step, of the parameter's box


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Profile(ReadOnlyArrays):
    """The profile likelihood of one parameter.

    Parameters
    ----------
    name, values
        The parameter, and its values, increasing, shape ``(points,)``.
    rise
        Growth of χ² over the best, in units in which 3.84 is the 95 % threshold, ``(points,)``.
    best
        The value at the best optimum known.
    lower, upper, verdict
        Ends of the 95 % interval, None where the profile reaches the parameter's bound first, and
        whether the data determine the parameter.
    better
        How much lower than the fit's (same units) the best optimum on the way lies, or 0.
    """

    name: str
    values: Array
    rise: Array
    best: float
    lower: float | None
    upper: float | None
    verdict: Verdict
    better: float = 0.0

    def summary(self) -> str:
        """One line of text."""
        ends = ["open" if end is None else f"{end:.4g}" for end in (self.lower, self.upper)]
        more = "" if self.better == 0 else "; a better optimum was met: refit with more starts"
        return f"{self.name} = {self.best:.4g} [{ends[0]}, {ends[1]}]: {self.verdict}{more}"


def profile(fit: Fit, name: str, *, steps: int = STEPS) -> Profile:
    """The profile likelihood of a free parameter of a fit.

    Parameters
    ----------
    fit, name, steps
        A fit, a free parameter of it, and most points on each side of the optimum.

    Raises
    ------
    ValueError
        If the parameter is not free.
    """
    if name not in fit.free:
        raise unknown_name("free parameter", name, fit.free)
    if steps < 2:
        raise ValueError(f"steps must be at least 2, not {steps}")
    problem = fit.problem
    j = fit.free.index(name)
    with one_blas_thread():
        sides = [_side(problem, fit, j, direction, steps) for direction in (-1, 1)]
    points = [*reversed(sides[0]), (float(fit.theta[j]), fit.chi2), *sides[1]]
    at, chi2 = np.array(points).T
    lowest = int(np.argmin(chi2))
    rise = (chi2 - chi2[lowest]) / fit.variance
    better = (fit.chi2 - chi2[lowest]) / fit.variance
    parameter = problem.free[j]
    lower, upper = (
        None if end is None else parameter.to_external(end)
        for end in (_crossing(at[s], rise[s]) for s in (np.s_[lowest::-1], np.s_[lowest:]))
    )
    verdict: Verdict = "practically non-identifiable"
    if lower is not None and upper is not None:
        verdict = "identifiable"
    elif np.max(rise) < FLAT * THRESHOLD:
        verdict = "structurally non-identifiable"
    return Profile(
        name=name,
        values=read_only([parameter.to_external(v) for v in at]),
        rise=read_only(rise),
        best=parameter.to_external(float(at[lowest])),
        lower=lower,
        upper=upper,
        verdict=verdict,
        better=float(better) if better > FLAT * THRESHOLD else 0.0,
    )


def _side(
    problem: Problem, fit: Fit, j: int, direction: int, steps: int
) -> list[tuple[float, float]]:
    """Values and χ² from the optimum outwards, with steps that adapt to the profile's slope."""
    parameter = problem.free[j]
    low, high = problem.lower[j], problem.upper[j]
    width = high - low
    smallest, largest = (share * width for share in SHARES)
    spread = np.sqrt(fit.covariance[j, j])
    step = float(np.clip(0.5 * spread if np.isfinite(spread) else largest, smallest, largest))
    end = low if direction < 0 else high
    theta, at, before = np.delete(fit.theta, j), float(fit.theta[j]), fit.chi2
    points: list[tuple[float, float]] = []
    while len(points) < steps and abs(end - at) > 1e-9 * width:
        if len(points) == steps - 1:
            step = width  # the last step looks at the bound itself
        at = float(np.clip(at + direction * step, low, high))
        optimum = polish(problem.holding(parameter.name, parameter.to_external(at)), theta)
        theta = np.array(optimum.theta)
        points.append((at, optimum.cost))
        if (optimum.cost - fit.chi2) / fit.variance > BEYOND * THRESHOLD:
            break
        gained = (optimum.cost - before) / fit.variance / THRESHOLD
        step = float(np.clip(step * np.clip(RISE / max(gained, 1e-6), 0.5, 2), smallest, largest))
        before = optimum.cost
    return points


def _crossing(at: Array, rise: Array) -> float | None:
    """Where the profile, going outwards, passes the threshold for the last time, if it does."""
    k = int(np.flatnonzero(rise <= THRESHOLD)[-1])
    if k == len(rise) - 1:
        return None
    share = (THRESHOLD - rise[k]) / (rise[k + 1] - rise[k])
    return float(at[k] + share * (at[k + 1] - at[k]))
