"""A model fitted to all curves of a run at once: `fit`, and the `Fit` it returns."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import ReadOnlyArrays, StoredArray
from ..curves.curve import Curve, Curves, one_run, read_only
from ..dynamics.catalogue import get
from ..dynamics.model import Model
from ..dynamics.readout import Key, Readout
from ..errors import LogError, unknown_name
from ..version import __version__
from .information import CONFIDENCE, FittedParameter, information
from .measurements import Measurements, measurements
from .multistart import Optimum, multistart, one_blas_thread
from .parameters import FitSettings, Parameter, adjust, gain_parameters, model_parameters
from .problem import Problem, readout_form
from .residuals import (
    HYPERPARAMETERS,
    LARGE_RMSE,
    Noise,
    ResidualDiagnostics,
    diagnose,
    overstatement,
    residual_noise,
)
from .symmetry import scaling_symmetries

Array = NDArray[np.float64]

SAME_OPTIMUM = 1e-3  # relative difference of χ² below which two starts led to the same optimum


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fit(ReadOnlyArrays):
    """A model fitted to the curves of one run.

    Parameters
    ----------
    model, measurements, settings
        What was fitted, to what, and how.
    declared, parameters
        Every parameter before the fit (value, bounds, free or held) and after it.
    starts
        The optimum of each start, the best first.
    chi2
        Σ ((predicted − measured)/σ)² at the optimum.
    variance
        Growth of χ² for one standard deviation, with the residuals' size and autocorrelation.
    noise, diagnostics
        The process that all residuals follow, and a description of each curve's.
    covariance
        Of the free parameters on their own scale (logarithms where ``log``), shape ``(k, k)``; NaN
        where the data determine none.
    null_directions
        Combinations of parameters that the data do not determine, exponents by name.
    warnings, provenance
        What a reader of the numbers has to know; version, source of the curves, seconds taken.
    """

    model: Model
    declared: tuple[Parameter, ...]
    parameters: tuple[FittedParameter, ...]
    measurements: Measurements
    settings: FitSettings
    starts: tuple[Optimum, ...]
    chi2: float
    variance: float
    noise: Noise
    covariance: StoredArray
    null_directions: tuple[Mapping[str, float], ...]
    diagnostics: tuple[ResidualDiagnostics, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def run(self) -> str:
        """The fitted run's name."""
        return self.measurements.run

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that were fitted."""
        return tuple(p.name for p in self.declared if p.vary)

    @property
    def values(self) -> Mapping[str, float]:
        """All parameters' values by name."""
        return {p.name: p.value for p in self.parameters}

    @property
    def theta(self) -> Array:
        """The optimum in the optimiser's numbers, shape ``(k,)``."""
        return np.array(self.starts[0].theta)

    @property
    def count(self) -> int:
        """Number of residuals."""
        return self.measurements.count

    @property
    def rmse(self) -> Mapping[str, float]:
        """Root-mean-square error by evaluator, or by ``evaluator/metric`` for losses."""
        return {
            d.key[0] if d.key[1] != "loss" else "/".join(d.key): d.rmse for d in self.diagnostics
        }

    @property
    def effective(self) -> float:
        """Number of independent residuals worth as much, χ²/variance + k, at most `count`."""
        return min(self.chi2 / self.variance + len(self.free), float(self.count))

    @property
    def aicc(self) -> float:
        """Corrected Akaike criterion, D + 2q + 2q(q + 1)/(n − q − 1); inf with too few points.

        D is the deviance of the residuals under their own process (`Fit.noise`), so that
        autocorrelated residuals count for what they are worth; q = k + 3 with its parameters.
        """
        q = len(self.free) + HYPERPARAMETERS
        room = self.count - q - 1
        correction = 2 * q * (q + 1) / room if room > 0 else float("inf")
        return self.noise.deviance + 2 * q + correction

    @property
    def bic(self) -> float:
        """Bayesian criterion, D + q ln n, see `aicc`."""
        q = len(self.free) + HYPERPARAMETERS
        return self.noise.deviance + q * float(np.log(self.count))

    @property
    def hits(self) -> int:
        """Number of starts that led to the best optimum."""
        return sum(start.cost <= self.starts[0].cost * (1 + SAME_OPTIMUM) for start in self.starts)

    @property
    def readout(self) -> Readout:
        """The fitted gains and rate."""
        return self.problem.readout(self.values)

    def parameter(self, name: str) -> FittedParameter:
        """One parameter; unknown names are refused with the nearest."""
        by_name = {p.name: p for p in self.parameters}
        if name not in by_name:
            raise unknown_name("parameter", name, by_name)
        return by_name[name]

    @functools.cached_property
    def problem(self) -> Problem:
        """The fit as a function of its free parameters."""
        return Problem(self.model, self.declared, self.measurements, self.settings)

    def predict(self, sequences: ArrayLike | None = None) -> Curves:
        """The fitted model's curves.

        Parameters
        ----------
        sequences
            A number, or increasing ones ``(times,)``, from the run's start on, else a `ValueError`;
            the fitted grid when None.
        """
        grid = self._grid(sequences)
        keys = self.measurements.keys
        curves = self.problem.predict(self.theta[None, :], grid, keys)
        return predicted_curves(self, grid, {key: values[0] for key, values in curves.items()})

    def strengths(self, sequences: ArrayLike | None = None) -> Mapping[str, Array]:
        """Each strategy's strength (1 at the target), ``(times,)``; sequences as in `predict`."""
        grid = self._grid(sequences)
        outputs = self.problem.outputs(self.theta[None, :], grid)
        return {name: outputs[f"{name}_strength"][0] for name in self.model.strategy_names}

    def _grid(self, sequences: ArrayLike | None) -> Array:
        """The sequences, checked, or the fitted grid."""
        if sequences is None:
            return self.measurements.sequences
        try:
            grid = np.atleast_1d(np.asarray(sequences, dtype=np.float64))
        except (TypeError, ValueError):
            grid = np.empty(0)
        in_order = grid.ndim == 1 and len(grid) > 0 and np.all(np.diff(grid) > 0)
        if not (in_order and np.all(np.isfinite(grid))):
            raise ValueError(
                f"sequences = {sequences!r}: give at least one number, several in increasing "
                "order, such as [1e6, 2e6]"
            )
        return grid

    def summary(self) -> str:
        """Parameters with intervals, errors and warnings as text."""
        lines = [
            f"{self.model.name} fitted to {self.run}: {self.count} points of "
            f"{len(self.measurements.targets)} curves, "
            f"worth {self.effective:.0f} independent ones; "
            f"{self.hits} of {len(self.starts)} starts found the optimum",
            f"AICc {self.aicc:.1f}, BIC {self.bic:.1f}",
            f"parameters, with {CONFIDENCE:.0%} intervals:",
        ]
        width = max(len(p.name) for p in self.parameters)
        for p in self.parameters:
            if p.status == "fixed":
                continue
            interval = "no interval" if p.lower is None else f"{p.lower:.4g} – {p.upper:.4g}"
            if p.status.startswith("open "):
                below = p.status == "open below"
                interval = f"below {p.upper:.4g}" if below else f"above {p.lower:.4g}"
            status = "" if p.status == "determined" else f"  ({p.status})"
            lines.append(f"  {p.name:<{width}}  {p.value:<10.4g} {interval}{status}")
        lines += [f"  {d.summary()}" for d in self.diagnostics]
        lines += [f"  note: {text}" for text in self.warnings]
        return "\n".join(lines)


def predicted_curves(fit: Fit, sequences: Array, values: Mapping[Key, Array]) -> Curves:
    """Predicted values as curves, with the model and parameters as their source."""
    return Curves(
        run=fit.run,
        curves={
            key: Curve(evaluator=key[0], metric=key[1], sequences=sequences, values=array)
            for key, array in values.items()
        },
        source={"model": fit.model.name, "parameters": dict(fit.values)},
    )


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
    and the gains, from many starts, with exact derivatives. Intervals come from the Fisher
    information, scaled by the residuals' size and autocorrelation.

    Parameters
    ----------
    curves, model
        The run, and a declared model or the name of one in the catalogue.
    fixed, parameters
        Values to hold parameters at, by name, and replacements for parameters of the same name.
    keys
        The curves to fit, ``(evaluator, metric)``; all that the model predicts when None.
    settings, **changes
        How to fit, and fields of `FitSettings` to set, such as ``starts=8``.
    progress
        Whether to show progress on stderr.

    Raises
    ------
    LogError
        If the log is too short, flat, or without a curve that the model predicts.
    FitError
        If no start led to a simulation that reaches the end of the log.
    ValueError
        If a model, parameter or setting is unknown or unfit.

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
    model = get(model) if isinstance(model, str) else model
    settings = (settings or FitSettings()).changed(**changes)
    data = measurements(curves, model.strategy_names, settings, keys=keys)
    declared = (
        *model_parameters(model, data.duration),
        *gain_parameters(model, data.keys, readout_form(settings)),
    )
    problem = Problem(model, adjust(declared, fixed=fixed, replace=parameters), data, settings)
    if not problem.free:
        raise ValueError("every parameter is fixed: leave at least one free to fit")
    if data.count <= len(problem.free):
        raise LogError(
            f"run {data.run} has {data.count} usable points for {len(problem.free)} free "
            "parameters; log more often, train longer, or fix parameters"
        )
    with one_blas_thread():
        starts = multistart(problem, progress=progress)
        return _result(problem, starts, seconds=time.perf_counter() - began)


def _result(problem: Problem, starts: tuple[Optimum, ...], *, seconds: float) -> Fit:
    """The fit that ends in these optima, with intervals, diagnostics and warnings."""
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
    curvature = information(
        problem.parameters, theta, evaluation.residuals, evaluation.jacobian, variance, symmetries
    )
    source, version = dict(data.source), __version__
    result = Fit(
        model=problem.model,
        declared=problem.parameters,
        parameters=curvature.parameters,
        measurements=data,
        settings=problem.settings,
        starts=starts,
        chi2=starts[0].cost,
        variance=variance,
        noise=noise,
        covariance=read_only(curvature.covariance),
        null_directions=curvature.null_directions,
        diagnostics=diagnostics,
        warnings=data.notes,
        provenance={"version": version, "source": source, "seconds": round(seconds, 3)},
    )
    return dataclasses.replace(result, warnings=(*data.notes, *_warnings(result, symmetries)))


def _warnings(fit: Fit, symmetries: tuple[Mapping[str, float], ...]) -> list[str]:
    texts = []
    for symmetry in symmetries:
        own = {name: symmetry[name] for name in fit.free if name in symmetry}
        texts.append(f"no data can determine the scaling {_as_scaling(own)}: fix one of these")
    for direction in fit.null_directions:
        texts.append("these data do not determine " + _as_scaling(direction))
    for p in fit.parameters:
        if p.status.startswith("at "):
            texts.append(f"{p.name} is {p.status}: the interval is one-sided")
        if p.status.startswith("open "):
            side = p.status.removeprefix("open ")
            texts.append(f"the data set {p.name} no limit {side}: its interval ends at its bound")
        if p.status == "undetermined" and not any(p.name in d for d in fit.null_directions):
            texts.append(f"these data do not determine {p.name}: its interval spans its bounds")
    if fit.hits < max(2, len(fit.starts) // 10):
        texts.append(
            f"only {fit.hits} of {len(fit.starts)} starts found the best optimum: there may be a "
            "better one; raise starts"
        )
    if not fit.starts[0].converged:
        texts.append("the best start had not converged; raise max_evaluations")
    correlated = ["/".join(d.key) for d in fit.diagnostics if d.autocorrelated]
    if correlated:
        texts.append(
            f"residuals are autocorrelated in {', '.join(correlated)}: the model misses shape "
            "there, and intervals and criteria count fewer points"
        )
    for d in fit.diagnostics:
        if d.rmse > LARGE_RMSE and d.key[1] != "loss":
            texts.append(f"{'/'.join(d.key)} is missed by {d.rmse:.3f} on average")
    return texts


def _as_scaling(direction: Mapping[str, float]) -> str:
    if len(direction) == 1:
        return next(iter(direction))
    return " · ".join(f"{name}^{exponent:g}" for name, exponent in direction.items())
