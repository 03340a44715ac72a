"""The map from training settings to a theory's parameters, calibrated on runs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays, StoredArray
from ...curves.curve import Curves
from ...curves.runs import same_run
from ...errors import unknown_name
from ...fitting.multistart import one_blas_thread
from ...settings.covariates import (
    BASE_KIND,
    COVARIATES,
    combination,
    covariates,
    data_kind,
    head_start,
    time_scale_of,
    unusable,
)
from ...settings.names import not_read, short_names
from ..discrepancy import Discrepancy
from ..prior import ParameterPrior
from ..theories.theory import Theory
from ..theories.toy_model import toy_theory
from .correlation import Combination, correlation
from .priors import EffectPrior, Priors, effect_prior
from .regression import Effects, regress, too_alike
from .run_information import RunInformation
from .verdict_correction import VerdictCorrection, fit_correction

if TYPE_CHECKING:
    from ...settings.training import TrainingSettings

Array = NDArray[np.float64]

BEYOND = 0.5  # how far outside the runs' range of a covariate effects hold, in units of it
GUESS_WEIGHT = 8.0  # runs that the first guess of the deviations counts for


class NotStored:
    """Tells pydantic that a field is not stored."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.none_schema()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SettingsMap(ReadOnlyArrays):
    """A calibrated map from settings to the distribution of a theory's parameters.

    Parameters
    ----------
    theory
        Name of the theory.
    parameters
        Its parameters, in the order of θ.
    deviation
        Variance of a run's own deviation in θ, shape ``(k,)``.
    runs
        The information in each run's log.
    excluded
        Runs that could not be used, with the reason.
    discrepancy
        The random function between theory and curves.
    priors
        Of parameters and effects, before any run.
    provenance
        Version, command, settings and time of the calibration, and what it warned of.
    declared
        The theory, where it is not a toy model of the catalogue.
    """

    theory: str
    parameters: tuple[str, ...]
    deviation: StoredArray
    runs: tuple[RunInformation, ...]
    excluded: Mapping[str, str]
    discrepancy: Discrepancy
    priors: Priors
    provenance: Mapping[str, Any]
    declared: Annotated[Theory | None, NotStored()] = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of data of the runs, other than the base's."""
        return tuple(sorted({run.kind for run in self.runs} - {BASE_KIND}))

    @functools.cached_property
    def combinations(self) -> tuple[tuple[Any, ...], ...]:
        """The different settings of the runs."""
        return tuple(dict.fromkeys(run.combination for run in self.runs))

    @functools.cached_property
    def longest(self) -> float:
        """Sequences of the longest log, at the base's learning rate and batch size; 0 if none."""
        lengths = (run.until / math.exp(run.settings.get("time_scale") or 0.0) for run in self.runs)
        return max(lengths, default=0.0)

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the runs cannot determine, a sentence each."""
        own = len(self.runs) / (len(self.runs) + GUESS_WEIGHT)
        names = [run.run for run in self.runs]
        return too_alike(names, [run.combination for run in self.runs], own)

    def the_theory(self) -> Theory:
        """The theory, of which `theory` is the name."""
        return self.declared or toy_theory(self.theory)

    @functools.cached_property
    def prior(self) -> EffectPrior:
        """The prior of the effects, before the runs."""
        return effect_prior(self.priors, self.kinds, self.combinations)

    @functools.cached_property
    def effects(self) -> Effects:
        """The effects of settings, given the runs."""
        designs = np.array([self.design(run.settings, run.kind) for run in self.runs])
        with one_blas_thread():  # digits then do not depend on the number of threads
            return regress(
                self.prior,
                self.deviation,
                designs.reshape(len(self.runs), len(self.prior.columns)),
                np.array([run.information for run in self.runs]),
                np.array([run.score for run in self.runs]),
            )

    def design(self, values: Mapping[str, float | None], kind: str) -> Array:
        """The row of covariates, data and combination of settings, shape ``(columns,)``."""
        row = {"base": 1.0, f"data:{kind}": 1.0}
        row |= {c.name: values.get(c.name) or 0.0 for c in COVARIATES}
        weights, _ = self.offset_weights(combination(kind, values))
        row |= {f"settings:{number}": weight for number, weight in enumerate(weights)}
        return np.array([row.get(column, 0.0) for column in self.prior.columns])

    def offset_weights(self, settings: Combination) -> tuple[Array, float]:
        """Weights of the runs' combinations in the offset of settings, and its remaining variance.

        Weights κ⁻¹ κ(z) predict the offset at z best linearly, and 1 − κ(z)ᵀ κ⁻¹ κ(z) is left
        (`coopetition.forecasting.settings_map.correlation`).
        """
        if settings in self.combinations:
            return np.eye(len(self.combinations))[self.combinations.index(settings)], 0.0
        near = correlation([settings], self.combinations, self.priors.reach, self.priors.unknown)
        weights = np.linalg.solve(self.prior.correlation, near[0])
        return weights, float(max(0.0, 1.0 - near[0] @ weights))

    @functools.cached_property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Least and largest value of the covariates in which runs differ, but the time scale."""
        ranges = {}
        for name in (c.name for c in COVARIATES if c.name != "time_scale"):
            values = [v for run in self.runs if (v := run.settings.get(name)) is not None]
            if values and max(values) > min(values):
                ranges[name] = (min(values), max(values))
        return ranges

    def nearby(
        self, values: Mapping[str, float | None]
    ) -> tuple[dict[str, float | None], tuple[str, ...]]:
        """Covariates clipped to `BEYOND` past the runs' range, and the names of clipped ones.

        An effect seen over a few doublings of classes need not hold for ten. Time scales are left.
        """
        near, far = dict(values), []
        for name, (low, high) in self.ranges.items():
            value, room = values[name], BEYOND * (high - low)
            if value is not None and not low - room <= value <= high + room:
                near[name] = float(np.clip(value, low - room, high + room))
                far.append(name)
        return near, tuple(far)

    def predict(self, settings: Mapping[str, Any] | TrainingSettings) -> ParameterPrior:
        """The distribution of a run's parameters from its settings alone.

        Parameters
        ----------
        settings
            As in `Curves.settings`: of a published run, our trainer's or the reference's; or our
            trainer's own.

        Raises
        ------
        ValueError
            If a setting has a value outside its range.

        Examples
        --------
        >>> from coopetition.forecasting.settings_map import default_map
        >>> unmatched, matched = (
        ...     default_map().predict({"match_probability": p}).median("mu1") for p in (0.0, 1.0)
        ... )
        >>> matched < unmatched / 10
        True
        """
        settings = short_names(settings)
        values, kind = covariates(settings), data_kind(settings)
        values, far = self.nearby(values)
        mean, covariance = self.effects.at(self.design(values, kind))
        moves = np.array([p.setting_spread for p in self.priors.parameters])
        variance = self.deviation.copy()
        notes = [*self.warnings, *not_read(settings)]
        reason = unusable(settings)
        if reason is not None:
            notes.append(f"{reason}: the map does not describe such training")
        if far:
            notes.append(
                f"{', '.join(far)}: far from all runs of the map, predicted as if nearer; "
                "calibrate a map on runs like yours"
            )
        _, remainder = self.offset_weights(combination(kind, values))
        variance = variance + remainder * (self.priors.settings_reach * moves) ** 2
        if kind not in (BASE_KIND, *self.kinds):
            variance = variance + (self.priors.kind_reach * moves) ** 2
        if kind not in {run.kind for run in self.runs}:
            notes.append(f"no run of the map was trained on data of kind {kind!r}")
        covariance = covariance + np.diag(variance)
        unknown = self.priors.unknown
        missing = [name for name, value in values.items() if value is None and unknown[name] > 0]
        for name in missing:
            column = self.prior.columns.index(name)
            effect = self.effects.mean[:, column]
            spread = self.effects.covariance[:, column, :, column]
            covariance = covariance + unknown[name] ** 2 * (np.outer(effect, effect) + spread)
        if missing:
            notes.append(
                f"the settings do not say {', '.join(missing)}: predictions are wider for it"
            )
        return ParameterPrior(
            names=self.parameters,
            mean=mean,
            covariance=covariance,
            time_scale=time_scale_of(settings),
            origin=head_start(settings),
            notes=tuple(notes),
        )

    @functools.cached_property
    def verdict_correction(self) -> VerdictCorrection | None:
        """How the verdicts of the runs correct the theory's; None if the runs hold none."""
        with one_blas_thread():
            return fit_correction(self.runs)

    def corrected(
        self, settings: Mapping[str, Any], chances: Mapping[str, float], *, horizon: float
    ) -> Mapping[str, float]:
        """Verdict probabilities at a horizon, from the theory's at the same settings."""
        if self.verdict_correction is None:
            return chances
        values, _ = self.nearby(covariates(settings))
        return self.verdict_correction.correct(chances, values, horizon)

    def names_of(self, curves: Curves) -> tuple[str, ...]:
        """Names under which the map holds a run."""
        own = (curves.run, curves.source)
        return tuple(run.run for run in self.runs if same_run(own, (run.run, run.source)))

    def without(self, *names: str) -> SettingsMap:
        """The map without some runs.

        Their influence on deviations, and on optima and predicted verdicts of the others, remains.

        Raises
        ------
        ValueError
            If a run is not in the map.
        """
        for name in names:
            if name not in {run.run for run in self.runs}:
                raise unknown_name("run of the map", name, [run.run for run in self.runs])
        runs = tuple(run for run in self.runs if run.run not in names)
        return dataclasses.replace(self, runs=runs)

    def effect(self, covariate: str, parameter: str) -> tuple[float, float]:
        """Mean and standard deviation of one effect on the logarithm of a parameter."""
        columns = self.prior.columns
        if covariate not in columns:
            raise unknown_name("effect", covariate, columns)
        if parameter not in self.parameters:
            raise unknown_name("parameter", parameter, self.parameters)
        row, column = self.parameters.index(parameter), columns.index(covariate)
        variance = self.effects.covariance[row, column, row, column]
        return float(self.effects.mean[row, column]), float(np.sqrt(variance))

    def summary(self) -> str:
        """The base's parameters, the spread between seeds, and the runs left out, as text."""
        base = self.effects.mean[:, 0]
        lines = [
            f"{self.theory}: {len(self.runs)} runs, {len(self.combinations)} different settings"
        ]
        for row, name in enumerate(self.parameters):
            spread = np.sqrt(self.deviation[row])
            lines.append(f"  {name:<18} {np.exp(base[row]):<10.3g} ± {100 * spread:.0f} % by seed")
        if self.verdict_correction is not None:
            lines.append(f"  {self.verdict_correction.summary()}")
        lines += [f"  left out: {name} ({why})" for name, why in self.excluded.items()]
        return "\n".join(lines)
