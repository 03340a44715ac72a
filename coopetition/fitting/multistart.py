"""Least squares from many starts: the best of a Sobol set, each led to an optimum of its own."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from ..seeds import stream
from .problem import PENALTY, Problem

Array = NDArray[np.float64]

MARGIN = 1e-6  # of the box: how far from its bounds a search starts
NO_EFFECT = 1e-14  # of the largest column of a Jacobian
EXTRA_POLISHES = 5  # of the best start, while it has not converged
SPACING = 0.05  # of the box: of two starts nearer than that everywhere, the worse is dropped
_REMEDY = (
    "hold other values, narrow the parameters' bounds, fit a shorter part of the log, or raise "
    "max_steps"
)


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS uses one thread: for a fit's small matrices more cost up to 10×."""
    # scipy brings a BLAS of its own: only what is loaded by now can be limited
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def bounded_least_squares(
    evaluate: Callable[[Array], tuple[Array, Array]],
    start: Array,
    bounds: tuple[Array, Array],
    *,
    evaluations: int,
    ftol: float,
    xtol: float,
    gtol: float,
) -> Any:
    """SciPy's trust-region least squares; ``evaluate`` gives residuals ``(n,)`` and Jacobian."""
    from scipy.optimize import least_squares

    last: tuple[bytes, Array, Array] | None = None

    # the solver asks for residuals and Jacobian one after the other: one call gives both
    def both(theta: Array) -> tuple[bytes, Array, Array]:
        nonlocal last
        if last is None or last[0] != theta.tobytes():
            last = (theta.tobytes(), *evaluate(theta))
        return last

    def residuals(theta: Array) -> Array:
        return both(theta)[1]

    def jacobian(theta: Array) -> Array:
        # the solver's scaling cannot handle columns without any effect to speak of, but zeros
        exact = both(theta)[2]
        size = np.linalg.norm(exact, axis=0)
        return np.where(size > NO_EFFECT * np.max(size, initial=0.0), exact, 0.0)

    # along a direction without effect the trust region's algebra overflows, harmlessly
    with np.errstate(all="ignore"):
        return least_squares(
            residuals,
            inside(start, bounds),
            jac=jacobian,
            bounds=bounds,
            x_scale="jac",
            ftol=ftol,
            xtol=xtol,
            gtol=gtol,
            max_nfev=evaluations,
        )


def inside(points: Array, bounds: tuple[Array, Array]) -> Array:
    """Points ``(…, k)`` moved off the bounds by the solver's margin."""
    margin = MARGIN * (bounds[1] - bounds[0])
    return np.clip(points, bounds[0] + margin, bounds[1] - margin)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimum:
    """Where one start ended.

    Parameters
    ----------
    cost, theta
        χ² there, and the optimiser's numbers.
    evaluations, converged
        Simulations with sensitivities, and whether a tolerance was met before they reached
        `FitSettings.max_evaluations`.
    screened_cost
        χ² at the start, from a coarse simulation.
    """

    cost: float
    theta: tuple[float, ...]
    evaluations: int
    converged: bool
    screened_cost: float = math.nan


def polish(problem: Problem, theta: Array, screened_cost: float = math.nan) -> Optimum:
    """The optimum that one start leads to."""

    def evaluate(theta: Array) -> tuple[Array, Array]:
        evaluation = problem.evaluate(theta)
        return evaluation.residuals, evaluation.jacobian

    result = bounded_least_squares(
        evaluate,
        theta,
        (problem.lower, problem.upper),
        evaluations=problem.settings.max_evaluations,
        ftol=1e-9,
        xtol=1e-8,
        gtol=1e-9,
    )
    return Optimum(
        cost=2.0 * float(result.cost),
        theta=tuple(float(v) for v in result.x),
        evaluations=int(result.nfev),
        converged=bool(result.status > 0),
        screened_cost=float(screened_cost),
    )


def multistart(problem: Problem, *, progress: bool = False) -> tuple[Optimum, ...]:
    """The optima of all starts, the best first."""
    starts, costs = _screen(problem, progress=progress)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda start, cost: polish(problem, start, float(cost)), starts, costs)
        optima = list(_with_progress(results, "polishing starts", progress, total=len(starts)))
    optima.sort(key=lambda optimum: optimum.cost)
    for _ in range(EXTRA_POLISHES):
        best = optima[0]
        if best.converged:
            break
        again = polish(problem, np.array(best.theta), best.screened_cost)
        optima[0] = dataclasses.replace(again, evaluations=best.evaluations + again.evaluations)
    if problem.evaluate(np.array(optima[0].theta)).failed:
        raise FitError(
            f"no start of {problem.model.name} on run {problem.measurements.run} led to a "
            f"simulation that reaches the end of the log{_held(problem)}: {_REMEDY}"
        )
    return tuple(optima)


def _screen(problem: Problem, *, progress: bool) -> tuple[Array, Array]:
    """The best of a scrambled Sobol set, ``(starts, k)``, and their coarse costs, ``(starts,)``."""
    from scipy.stats import qmc

    settings = problem.settings
    sobol = qmc.Sobol(len(problem.free), rng=stream(settings.seed, "starts"))
    width = problem.upper - problem.lower
    points = problem.lower + sobol.random(settings.screened) * width
    costs = np.empty(len(points))
    blocks = np.array_split(np.arange(len(points)), max(1, len(points) // 1024))
    for block in _with_progress(blocks, "screening starts", progress):
        costs[block] = problem.costs(points[block], coarse=True)
    if not np.any(costs < 0.999 * PENALTY**2 * problem.measurements.count):
        raise FitError(
            f"none of {len(points)} simulations of {problem.model.name} over run "
            f"{problem.measurements.run} succeeded{_held(problem)}: {_REMEDY}"
        )
    best = _spread_out((points - problem.lower) / width, costs, settings.starts)
    return points[best], costs[best]


def _spread_out(unit: Array, costs: Array, count: int) -> list[int]:
    """The best points without near neighbours among them; if too few, the next best as well."""
    order: list[int] = np.argsort(costs, kind="stable").tolist()
    best: list[int] = []
    for index in order:
        if len(best) == count:
            break
        if np.all(np.max(np.abs(unit[best] - unit[index]), axis=1) > SPACING):
            best.append(index)
    others = [index for index in order if index not in best]
    return best + others[: count - len(best)]


def _held(problem: Problem) -> str:
    """Text on the parameters held that would vary by default, and so have bounds."""
    held = [p for p in problem.parameters if not p.vary and np.isfinite(p.upper)]
    text = ", ".join(f"{p.name} = {p.value:g}" for p in held)
    return f" with {text} held" if held else ""


def _with_progress(items: Any, what: str, progress: bool, total: int | None = None) -> Any:
    if not progress:
        return items
    from tqdm.auto import tqdm

    return tqdm(items, desc=what, total=total, leave=False)
