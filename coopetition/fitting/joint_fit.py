"""The verb: fit a model to all curves of a run at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from ..curves.curve import Curves, one_run, read_only
from ..dynamics.catalogue import get
from ..dynamics.model import Model
from ..dynamics.readout import Key
from ..errors import LogError
from ..version import __version__
from .information import Information, information
from .measurements import Measurements, measurements
from .multistart import Optimum, one_blas_thread, waterfall
from .parameters import Parameter, adjusted, gain_parameters, model_parameters
from .problem import Problem, readout_form
from .residuals import LARGE_RMSE, ResidualDiagnostics, diagnose, overstatement, residual_noise
from .result import SAME_OPTIMUM, Fit
from .settings import FitSettings
from .symmetry import scaling_symmetries


def fit(
    curves: Curves,
    model: Model | str = "coopetition",
    *,
    fixed: Mapping[str, float] | None = None,
    parameters: Iterable[Parameter] = (),
    keys: Collection[Key] | None = None,
    settings: FitSettings | None = None,
    progress: bool = False,
    **changes: Any,
) -> Fit:
    """Fit a toy model to all curves of a run jointly.

    Minimises χ² = Σ ((predicted − measured)/σ)² over starts, floors, weights, dimensions, the rate
    and the gains, from many starts, with exact derivatives.

    Parameters
    ----------
    curves
        The run.
    model
        A declared model, or the name of one in the catalogue.
    fixed
        Parameters to hold at given values, by name.
    parameters
        Parameters to replace the defaults of the same name, with bounds of their own.
    keys
        The curves to fit, ``(evaluator, metric)``; all that the model predicts when None.
    settings
        How to fit; `FitSettings` says what there is.
    progress
        Whether to show progress on stderr.
    **changes
        Fields of `FitSettings` to set, such as ``starts=8``.

    Returns
    -------
    Fit

    Raises
    ------
    LogError
        If the log is too short, flat, or without a curve that the model predicts.
    FitError
        If no start led to a simulation that reaches the end of the log.
    ValueError
        If a model, parameter or setting is unknown or unfit.

    Notes
    -----
    Intervals come from the Fisher information, scaled by the residuals' size and autocorrelation;
    `profile` gives likelihood profiles instead.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> (main,) = read_curves("published:main")
    >>> result = fit(main, starts=2, screened=256, points=40)
    >>> sorted(result.rmse)
    ['ciwl', 'flip', 'icl', 'train']
    """
    began = time.perf_counter()
    curves = one_run(curves)
    declared_model = get(model) if isinstance(model, str) else model
    chosen = (settings or FitSettings()).changed(**changes)
    data = measurements(curves, declared_model.strategy_names, chosen, keys=keys)
    declared = (
        *model_parameters(declared_model, data.duration),
        *gain_parameters(declared_model, data.keys, readout_form(chosen)),
    )
    declared = adjusted(declared, fixed=fixed, replace=parameters)
    _require_enough(data, declared)
    problem = Problem(declared_model, declared, data, chosen)
    with one_blas_thread():
        starts = waterfall(problem, progress=progress)
        return completed(problem, starts, seconds=time.perf_counter() - began)


def completed(problem: Problem, starts: tuple[Optimum, ...], *, seconds: float) -> Fit:
    """The result from its optima: intervals, diagnostics, warnings."""
    data = problem.measurements
    theta = np.array(starts[0].theta)
    evaluation = problem.evaluate(theta)
    ends = np.cumsum([len(target) for target in data.targets])[:-1]
    residuals = np.split(evaluation.residuals, ends)
    diagnostics = tuple(
        diagnose(target.key, -own * target.sigma, target.sigma)
        for target, own in zip(data.targets, residuals, strict=True)
    )
    noise = residual_noise(residuals)
    inflation = overstatement(noise, np.split(evaluation.jacobian, ends))
    variance = inflation * data.count / max(data.count - len(problem.free), 1)
    held = [p.name for p in problem.parameters if not p.vary and p.value != 0]
    symmetries = scaling_symmetries(problem.model, held)
    known = information(
        problem.parameters,
        theta,
        evaluation.residuals,
        evaluation.jacobian,
        variance,
        symmetries,
    )
    return Fit(
        model=problem.model,
        declared=problem.parameters,
        parameters=known.parameters,
        measurements=data,
        settings=problem.settings,
        starts=starts,
        chi2=starts[0].cost,
        variance=variance,
        noise=noise,
        covariance=read_only(known.covariance),
        null_directions=known.null_directions,
        diagnostics=diagnostics,
        warnings=(*data.notes, *_warnings(problem, starts, known, symmetries, diagnostics)),
        provenance={
            "version": __version__,
            "source": dict(data.source),
            "seconds": round(seconds, 3),
        },
    )


def _require_enough(data: Measurements, declared: Iterable[Parameter]) -> None:
    free = [p.name for p in declared if p.vary]
    if not free:
        raise ValueError("every parameter is fixed: leave at least one free to fit")
    if data.count <= len(free):
        raise LogError(
            f"run {data.run} has {data.count} usable points for {len(free)} free parameters; log "
            "more often, train longer, or fix parameters"
        )


def _warnings(
    problem: Problem,
    starts: tuple[Optimum, ...],
    known: Information,
    symmetries: tuple[Mapping[str, float], ...],
    diagnostics: tuple[ResidualDiagnostics, ...],
) -> list[str]:
    found = []
    for symmetry in symmetries:
        own = {p.name: symmetry[p.name] for p in problem.free if p.name in symmetry}
        found.append(f"no data can determine the scaling {_as_scaling(own)}: fix one of these")
    for direction in known.null_directions:
        found.append("these data do not determine " + _as_scaling(direction))
    for p in known.parameters:
        if p.status.startswith("at "):
            found.append(f"{p.name} is {p.status}: the interval is one-sided")
        if p.status.startswith("open "):
            side = p.status.removeprefix("open ")
            found.append(f"the data set {p.name} no limit {side}: its interval ends at its bound")
        if p.status == "undetermined" and not any(p.name in d for d in known.null_directions):
            found.append(f"these data do not determine {p.name}: its interval spans its bounds")
    hits = sum(s.cost <= starts[0].cost * (1 + SAME_OPTIMUM) for s in starts)
    if hits < max(2, len(starts) // 10):
        found.append(
            f"only {hits} of {len(starts)} starts found the best optimum: there may be a better "
            "one; raise starts"
        )
    if not starts[0].converged:
        found.append("the best start had not converged; raise max_evaluations")
    correlated = ["/".join(d.key) for d in diagnostics if d.autocorrelated]
    if correlated:
        found.append(
            f"residuals are autocorrelated in {', '.join(correlated)}: the model misses shape "
            "there, and intervals and criteria count fewer points"
        )
    for d in diagnostics:
        if d.rmse > LARGE_RMSE and d.key[1] != "loss":
            found.append(f"{'/'.join(d.key)} is missed by {d.rmse:.3f} on average")
    return found


def _as_scaling(direction: Mapping[str, float]) -> str:
    if len(direction) == 1:
        return next(iter(direction))
    return " · ".join(f"{name}^{exponent:g}" for name, exponent in direction.items())
