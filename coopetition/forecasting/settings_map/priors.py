"""Priors of parameters and of the effects that settings have on them, before any run is seen.

θ = base + Σ effect · covariate + offset of the data + offset of the settings + own deviation. Every
covariate may move every parameter, by `Covariate.reach` × `TheoryParameter.setting_spread`; those
of `Covariate.effects` have a direction too, which data may overturn.

A map's file holds the priors it was calibrated with; `current_priors` are those of a new map.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays, ReadOnlyMapping
from ...settings.covariates import COVARIATES
from ..theories.theory import Theory, TheoryParameter
from .correlation import Combination, correlation

Array = NDArray[np.float64]

KIND_REACH = 2.5  # of other data, in units of a parameter's setting_spread
SETTINGS_REACH = 0.6  # of what a sum of effects misses at one combination of settings
TIME_SCALE_SPREAD = 0.2  # of the power with which a rate follows batch size / learning rate

_POSITIVE = ("centre", "spread", "seed_spread", "setting_spread")  # of a parameter
_WHOLE = ("kind_reach", "settings_reach", "time_scale_spread")  # of the map as a whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Priors:
    """Priors of a map, all of natural logarithms of parameters.

    A `ValueError` if a number is not finite or a spread is not positive.
    """

    parameters: tuple[TheoryParameter, ...]  # in the order of θ
    reach: Mapping[
        str, float
    ]  # by covariate: how far one unit moves a parameter, in setting_spread
    unknown: Mapping[str, float]  # by covariate: standard deviation where settings lack it
    # mean and standard deviation of effects with a direction, by covariate, then parameter
    directed: Mapping[str, Mapping[str, tuple[float, float]]]
    kind_reach: float  # of another kind of data, in setting_spread
    settings_reach: float  # of what a sum of effects misses at one combination, in setting_spread
    time_scale_spread: float  # of the power with which rates follow batch size / learning rate

    def __post_init__(self) -> None:
        directed = {name: ReadOnlyMapping(effects) for name, effects in self.directed.items()}
        for name, value in (
            ("reach", self.reach), ("unknown", self.unknown), ("directed", directed)
        ):  # fmt: skip
            object.__setattr__(self, name, ReadOnlyMapping(value))
        positive = {name: getattr(self, name) for name in _WHOLE}
        positive |= {f"reach of {name}": value for name, value in self.reach.items()}
        finite = {f"unknown of {name}": value for name, value in self.unknown.items()}
        for covariate, effects in self.directed.items():
            for parameter, (mean, spread) in effects.items():
                finite[f"mean of {covariate} on {parameter}"] = mean
                positive[f"spread of {covariate} on {parameter}"] = spread
        for p in self.parameters:
            finite[f"time_scale of {p.name}"] = p.time_scale
            positive |= {f"{field} of {p.name}": getattr(p, field) for field in _POSITIVE}
        for name, value in (positive | finite).items():
            if not math.isfinite(value) or (name in positive and value <= 0):
                must = "positive" if name in positive else "a number"
                raise ValueError(f"{name} = {value!r} in a map's priors: must be {must}")


def completed(own: Priors, present: Priors) -> tuple[Priors, tuple[str, ...]]:
    """A map's own priors with the present ones of covariates that are new, and the names of these.

    A `ValueError` if this version lacks covariates of the map.
    """
    missing = sorted(set(own.reach) - set(present.reach))
    if missing:
        raise ValueError(
            f"its priors have covariates that this version lacks: {', '.join(missing)}"
        )
    new = tuple(name for name in present.reach if name not in own.reach)
    added = {name: present.directed[name] for name in new if name in present.directed}
    filled = dataclasses.replace(
        own,
        reach={name: own.reach.get(name, reach) for name, reach in present.reach.items()},
        unknown={name: own.unknown.get(name, value) for name, value in present.unknown.items()},
        directed={**own.directed, **added},
    )
    return filled, new


def current_priors(theory: Theory) -> Priors:
    """The priors of a theory's parameters and of the effects on them, for a new map."""
    names = {parameter.name for parameter in theory.parameters}
    directed = {c.name: {n: e for n, e in c.effects.items() if n in names} for c in COVARIATES}
    return Priors(
        parameters=theory.parameters,
        reach={c.name: c.reach for c in COVARIATES},
        unknown={c.name: c.unknown for c in COVARIATES},
        directed={name: effects for name, effects in directed.items() if effects},
        kind_reach=KIND_REACH,
        settings_reach=SETTINGS_REACH,
        time_scale_spread=TIME_SCALE_SPREAD,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EffectPrior(ReadOnlyArrays):
    """Normal priors of all effects.

    Columns are ``base``, the covariates, ``data:KIND`` of other data and ``settings:NUMBER`` of
    each combination of settings, whose offsets are correlated; effects are otherwise independent.
    """

    columns: tuple[str, ...]
    mean: Array  # (k, columns)
    spread: Array  # (k, columns)
    correlation: Array  # of the last columns, those of combinations

    def precision(self, used: NDArray[np.intp]) -> Array:
        """Inverse covariance of the effects in some columns, ``(k, used, k, used)``."""
        correlation = np.eye(len(self.columns))
        first = len(self.columns) - len(self.correlation)
        correlation[first:, first:] = self.correlation
        inverse = np.linalg.inv(correlation[np.ix_(used, used)])
        k = len(self.mean)
        precision = np.zeros((k, len(used), k, len(used)))
        for row in range(k):
            scale = 1.0 / self.spread[row, used]
            precision[row, :, row, :] = scale[:, None] * inverse * scale
        return precision


def effect_prior(
    priors: Priors, kinds: Sequence[str], combinations: Sequence[Combination]
) -> EffectPrior:
    """The prior of all effects, for the runs' kinds of data (but the base's) and settings."""
    reach = {
        **priors.reach,
        **{f"data:{kind}": priors.kind_reach for kind in kinds},
        **{f"settings:{number}": priors.settings_reach for number in range(len(combinations))},
    }
    columns = ("base", *reach)
    mean = np.zeros((len(priors.parameters), len(columns)))
    spread = np.zeros_like(mean)
    for row, parameter in enumerate(priors.parameters):
        mean[row, 0], spread[row, 0] = np.log(parameter.centre), parameter.spread
        spread[row, 1:] = parameter.setting_spread * np.array([*reach.values()])
        directed = {name: effects.get(parameter.name) for name, effects in priors.directed.items()}
        if (power := parameter.time_scale) and not directed.get("time_scale"):
            directed["time_scale"] = power, priors.time_scale_spread * abs(power)
        for column, name in enumerate(columns):
            if effect := directed.get(name):
                mean[row, column], spread[row, column] = effect
    return EffectPrior(
        columns=columns,
        mean=mean,
        spread=spread,
        correlation=correlation(combinations, combinations, priors.reach, priors.unknown),
    )
