"""One thread for small linear algebra, so that starts can share the cores instead.

Matrices of a fit are some hundred rows by a dozen columns: splitting one over threads costs more
than it saves, and many such splits at once, on a busy machine, cost ten times as much.
"""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import os
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FitError
from ..seeds import stream
from .problem import Problem


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS and LAPACK use one thread; what was set before returns after it."""
    # scipy brings a BLAS of its own: only what is loaded by now can be limited
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


Array = NDArray[np.float64]

NO_EFFECT = 1e-14  # of the largest column of a Jacobian
EXTRA_POLISHES = 5  # of the best start, while it has not converged
_REMEDY = (
    "hold other values, narrow the parameters' bounds, fit a shorter part of the log, or raise "
    "max_steps"
)
SPACING = 0.05  # of the box: of two starts nearer than that everywhere, the worse is dropped


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimum:
    """Where one start ended.

    Parameters
    ----------
    cost
        χ² there.
    theta
        The optimiser's numbers.
    evaluations
        Simulations with sensitivities it took.
    converged
        Whether a tolerance was met before `FitSettings.max_evaluations` were spent.
    screened_cost
        χ² at the start, compared coarsely.
    """

    cost: float
    theta: tuple[float, ...]
    evaluations: int
    converged: bool
    screened_cost: float


def sobol(problem: Problem, count: int) -> Array:
    """Scrambled Sobol points in the box of the free parameters, shape ``(count, k)``."""
    from scipy.stats import qmc

    sampler = qmc.Sobol(len(problem.free), rng=stream(problem.settings.seed, "starts"))
    unit = sampler.random(count)
    return np.asarray(problem.lower + unit * (problem.upper - problem.lower))


def screened(problem: Problem, *, progress: bool = False) -> tuple[Array, Array]:
    """The best starts and their coarse costs: ``(starts, k)``, ``(starts,)``.

    Raises
    ------
    FitError
        If not one simulation reached the end of the log.
    """
    settings = problem.settings
    points = sobol(problem, settings.screened)
    costs = np.empty(len(points))
    blocks = np.array_split(np.arange(len(points)), max(1, len(points) // 1024))
    for block in _shown(blocks, "screening starts", progress):
        costs[block] = problem.costs(points[block], coarse=True)
    worst = 0.999 * _failed_cost(problem)
    if not np.any(costs < worst):
        raise FitError(
            f"none of {len(points)} simulations of {problem.model.name} over run "
            f"{problem.measurements.run} succeeded{_held(problem)}: {_REMEDY}"
        )
    chosen = _spread_out(points, costs, problem, settings.starts)
    return points[chosen], costs[chosen]


def polished(problem: Problem, theta: Array, screened_cost: float = np.nan) -> Optimum:
    """Least squares from one start, with exact derivatives."""
    from scipy.optimize import least_squares

    width = problem.upper - problem.lower
    inside = np.clip(theta, problem.lower + 1e-6 * width, problem.upper - 1e-6 * width)

    def jacobian(theta: Array) -> Array:
        return _without_traces(problem.jacobian(theta))

    # along a direction without effect the trust region's algebra overflows, harmlessly
    with np.errstate(all="ignore"):
        result = least_squares(
            problem.residuals,
            inside,
            jac=jacobian,
            bounds=(problem.lower, problem.upper),
            method="trf",
            x_scale="jac",
            ftol=1e-9,
            xtol=1e-8,
            gtol=1e-9,
            max_nfev=problem.settings.max_evaluations,
        )
    return Optimum(
        cost=2.0 * float(result.cost),
        theta=tuple(float(v) for v in result.x),
        evaluations=int(result.nfev),
        converged=bool(result.status > 0),
        screened_cost=float(screened_cost),
    )


def waterfall(problem: Problem, *, progress: bool = False) -> tuple[Optimum, ...]:
    """All polished starts, the best first.

    Raises
    ------
    FitError
        If every polish ended on a failed simulation.
    """
    starts, costs = screened(problem, progress=progress)
    jobs = list(zip(starts, costs, strict=True))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # a problem remembers its last evaluation: each start gets one of its own
        done = pool.map(lambda job: polished(copy.copy(problem), job[0], float(job[1])), jobs)
        found = list(_shown(done, "polishing starts", progress, total=len(jobs)))
    found.sort(key=lambda optimum: optimum.cost)
    for _ in range(EXTRA_POLISHES):
        if found[0].converged:
            break
        again = polished(problem, np.array(found[0].theta), found[0].screened_cost)
        found[0] = dataclasses.replace(again, evaluations=found[0].evaluations + again.evaluations)
    if problem.evaluate(np.array(found[0].theta)).failed:
        raise FitError(
            f"no start of {problem.model.name} on run {problem.measurements.run} led to a "
            f"simulation that reaches the end of the log{_held(problem)}: {_REMEDY}"
        )
    return tuple(found)


def _without_traces(jacobian: Array) -> Array:
    """Columns without any effect to speak of set to 0, which the solver's scaling can handle."""
    size = np.linalg.norm(jacobian, axis=0)
    return np.where(size > NO_EFFECT * np.max(size, initial=0.0), jacobian, 0.0)


def _held(problem: Problem) -> str:
    """Which parameters are held that would vary by themselves, and so have bounds."""
    held = [p for p in problem.parameters if not p.vary and np.isfinite(p.upper)]
    said = ", ".join(f"{p.name} = {p.value:g}" for p in held)
    return f" with {said} held" if held else ""


def _failed_cost(problem: Problem) -> float:
    from .problem import PENALTY

    return PENALTY**2 * problem.measurements.count


def _spread_out(points: Array, costs: Array, problem: Problem, count: int) -> NDArray[np.intp]:
    """The best points no two of which are neighbours; filled up by the next best if too few."""
    order = np.argsort(costs, kind="stable")
    unit = (points - problem.lower) / (problem.upper - problem.lower)
    chosen: list[int] = []
    for index in order:
        if len(chosen) == count:
            break
        gaps = np.max(np.abs(unit[chosen] - unit[index]), axis=1)
        if np.all(gaps > SPACING):
            chosen.append(int(index))
    for index in order:
        if len(chosen) == count:
            break
        if int(index) not in chosen:
            chosen.append(int(index))
    return np.array(chosen, dtype=np.intp)


def _shown(items: Any, what: str, progress: bool, total: int | None = None) -> Any:
    if not progress:
        return items
    from tqdm.auto import tqdm

    return tqdm(items, desc=what, total=total, leave=False)
