"""The result of a fit: parameters, what is known of them, and all that led there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import ReadOnlyArrays
from ..curves.curve import Curve, Curves
from ..dynamics.model import Model
from ..dynamics.readout import Key, Readout
from ..errors import unknown_name
from .information import CONFIDENCE, FittedParameter
from .measurements import Measurements
from .multistart import Optimum
from .parameters import Parameter
from .problem import Problem
from .residuals import HYPERPARAMETERS, Noise, ResidualDiagnostics
from .settings import FitSettings

SAME_OPTIMUM = 1e-3  # relative difference of χ² below which two starts found the same optimum


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fit(ReadOnlyArrays):
    """A model fitted to the curves of one run.

    Parameters
    ----------
    model
        The fitted model's declaration.
    declared
        Every parameter as it went in: value, bounds, free or held.
    parameters
        Every parameter as it came out.
    measurements
        What was fitted, on one grid of sequences.
    settings
        How.
    starts
        The waterfall, the best first.
    chi2
        Σ ((predicted − measured)/σ)² at the optimum.
    variance
        What χ² has to grow by for one standard deviation: the size of the residuals times the
        factor by which their autocorrelation makes χ² overstate what it knows.
    noise
        The process that the residuals follow.
    covariance
        Covariance of the free parameters on their own scale (logarithms where ``log``), shape
        ``(k, k)``; NaN where the data determine none.
    null_directions
        Combinations of parameters that the data do not determine, exponents by name.
    diagnostics
        Of each curve's residuals.
    warnings
        What a reader of the numbers has to know, a sentence each.
    provenance
        Version, source of the curves, seconds taken.
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
    covariance: NDArray[np.float64]
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
    def theta(self) -> NDArray[np.float64]:
        """The optimum in the optimiser's numbers, shape ``(k,)``."""
        return np.array(self.starts[0].theta)

    @property
    def count(self) -> int:
        """Number of residuals."""
        return self.measurements.count

    @property
    def rmse(self) -> Mapping[str, float]:
        """Root-mean-square error by evaluator; ``evaluator/metric`` for what is no accuracy."""
        return {
            d.key[0] if d.key[1] != "loss" else "/".join(d.key): d.rmse for d in self.diagnostics
        }

    @property
    def effective(self) -> float:
        """Number of independent residuals that would say as much: χ²/variance, with k added."""
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
        """Number of starts that found the best optimum."""
        best = self.starts[0].cost
        return sum(s.cost <= best * (1 + SAME_OPTIMUM) for s in self.starts)

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
            Where to predict, not before the run's start, increasing, a number or of shape
            ``(times,)``; the fitted grid when None.

        Raises
        ------
        ValueError
            If ``sequences`` are not such numbers.
        """
        grid = self._grid(sequences)
        keys = self.measurements.keys
        found = self.problem.predict(self.theta[None, :], grid, keys)
        return predicted_curves(self, grid, {key: values[0] for key, values in found.items()})

    def strengths(self, sequences: ArrayLike | None = None) -> Mapping[str, NDArray[np.float64]]:
        """Each strategy's fitted strength (1 at the target) by name, shape ``(times,)``.

        Parameters
        ----------
        sequences
            As `predict` takes them.
        """
        grid = self._grid(sequences)
        outputs = self.problem.outputs(self.theta[None, :], grid)
        return {name: outputs[f"{name}_strength"][0] for name in self.model.strategy_names}

    def _grid(self, sequences: ArrayLike | None) -> NDArray[np.float64]:
        """The sequences asked for, checked, or the fitted grid."""
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
        ]
        lines.append(f"parameters, with {CONFIDENCE:.0%} intervals:")
        width = max(len(p.name) for p in self.parameters)
        for p in self.parameters:
            if p.status == "fixed":
                continue
            interval = "no interval" if p.lower is None else f"{p.lower:.4g} – {p.upper:.4g}"
            if p.status == "open below":
                interval = f"below {p.upper:.4g}"
            elif p.status == "open above":
                interval = f"above {p.lower:.4g}"
            note = "" if p.status == "determined" else f"  ({p.status})"
            lines.append(f"  {p.name:<{width}}  {p.value:<10.4g} {interval}{note}")
        lines += [f"  {d.summary()}" for d in self.diagnostics]
        lines += [f"  note: {text}" for text in self.warnings]
        return "\n".join(lines)


def predicted_curves(
    fit: Fit, sequences: NDArray[np.float64], values: Mapping[Key, NDArray[np.float64]]
) -> Curves:
    """Predicted values as curves that say what made them."""
    return Curves(
        run=fit.run,
        curves={
            key: Curve(evaluator=key[0], metric=key[1], sequences=sequences, values=array)
            for key, array in values.items()
        },
        source={"model": fit.model.name, "parameters": dict(fit.values)},
    )
