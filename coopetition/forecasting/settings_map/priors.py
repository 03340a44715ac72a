"""Priors that a map started from: what each parameter is like, and what each setting may do to it.

They are part of a map as much as its runs are, so they are kept in its file and used from there;
`coopetition.forecasting.settings_map.effects` holds those that new maps start from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from ...arrays import ReadOnlyMapping
from ..theories.theory import TheoryParameter

_POSITIVE = ("centre", "spread", "seed_spread", "setting_spread")  # of a parameter
_WHOLE = ("kind_reach", "settings_reach", "time_scale_spread")  # of the map as a whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Priors:
    """Priors of a map, all of natural logarithms of parameters.

    Parameters
    ----------
    parameters
        Of the theory, in the order of θ.
    reach
        By covariate: how far one unit can move a parameter, in its ``setting_spread``.
    unknown
        By covariate: its standard deviation where settings do not say it.
    directed
        Mean and standard deviation of the effects that have a direction, by covariate, then
        parameter.
    kind_reach, settings_reach
        Of another kind of data, and of what a sum of effects misses at one combination of settings,
        in the parameters' ``setting_spread``.
    time_scale_spread
        Standard deviation of the power with which rates follow batch size / learning rate.

    Raises
    ------
    ValueError
        If a number is not finite or a spread is not positive.
    """

    parameters: tuple[TheoryParameter, ...]
    reach: Mapping[str, float]
    unknown: Mapping[str, float]
    directed: Mapping[str, Mapping[str, tuple[float, float]]]
    kind_reach: float
    settings_reach: float
    time_scale_spread: float

    def __post_init__(self) -> None:
        for name in ("reach", "unknown", "directed"):
            object.__setattr__(self, name, ReadOnlyMapping(getattr(self, name)))
        positive = {name: getattr(self, name) for name in _WHOLE}
        positive |= {f"reach of {name}": value for name, value in self.reach.items()}
        means = {}
        for covariate, effects in self.directed.items():
            for parameter, (mean, spread) in effects.items():
                means[f"mean of {covariate} on {parameter}"] = mean
                positive[f"spread of {covariate} on {parameter}"] = spread
        positive |= {
            f"{field} of {p.name}": getattr(p, field)
            for p in self.parameters
            for field in _POSITIVE
        }
        for name, value in positive.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value!r} in a map's priors: must be positive")
        finite = means | {f"unknown of {name}": value for name, value in self.unknown.items()}
        finite |= {f"time_scale of {p.name}": p.time_scale for p in self.parameters}
        for name, value in finite.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value!r} in a map's priors: must be a number")


def completed(own: Priors, present: Priors) -> tuple[Priors, tuple[str, ...]]:
    """Priors with those of covariates that came later taken from the present ones, and which.

    Raises
    ------
    ValueError
        If they speak of covariates that are no longer known.
    """
    gone = sorted(set(own.reach) - set(present.reach))
    if gone:
        raise ValueError(f"its priors are of covariates that this version lacks: {', '.join(gone)}")
    new = tuple(name for name in present.reach if name not in own.reach)
    added = {name: present.directed[name] for name in new if name in present.directed}
    filled = dataclasses.replace(
        own,
        reach={name: own.reach.get(name, reach) for name, reach in present.reach.items()},
        unknown={name: own.unknown.get(name, value) for name, value in present.unknown.items()},
        directed={**own.directed, **added},
    )
    return filled, new
