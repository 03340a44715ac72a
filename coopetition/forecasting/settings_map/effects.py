"""Priors of the effects of settings, before any run is seen.

θ = base + Σ effect · covariate + offset of the data + offset of the settings + own deviation. Every
covariate may move every parameter, by `Covariate.reach` × `TheoryParameter.setting_spread`; those
of `Covariate.effects` have a direction too. Data that say otherwise overturn them. These are for
new maps; a map keeps those it was calibrated with (`coopetition.forecasting.settings_map.priors`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays
from ...settings.covariates import COVARIATES
from ..theories.theory import Theory
from .correlation import Combination, correlation
from .priors import Priors

Array = NDArray[np.float64]

KIND_REACH = 2.5  # of other data, in units of a parameter's setting_spread: another world
SETTINGS_REACH = 0.6  # of what a sum of effects misses at one combination of settings
TIME_SCALE_SPREAD = 0.2  # of the power with which a rate follows batch size / learning rate


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EffectPrior(ReadOnlyArrays):
    """Normal priors of all effects.

    Parameters
    ----------
    columns
        ``base``, the covariates, ``data:KIND`` of other data and ``settings:NUMBER`` of each
        combination of settings.
    mean, spread
        Shape ``(k, columns)``.
    correlation
        Correlation of the offsets of combinations of settings, the last columns; effects are
        otherwise independent.
    """

    columns: tuple[str, ...]
    mean: Array
    spread: Array
    correlation: Array

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


def current_priors(theory: Theory) -> Priors:
    """The priors of a theory's parameters and of the effects on them, for a new map.

    Examples
    --------
    >>> from coopetition.forecasting.theories.toy_model import toy_theory
    >>> current_priors(toy_theory("coopetition")).directed["matching"]["mu1"]
    (1.0, 0.3)
    """
    known = {parameter.name for parameter in theory.parameters}
    directed = {
        covariate.name: {name: e for name, e in covariate.effects.items() if name in known}
        for covariate in COVARIATES
    }
    return Priors(
        parameters=theory.parameters,
        reach={c.name: c.reach for c in COVARIATES},
        unknown={c.name: c.unknown for c in COVARIATES},
        directed={name: effects for name, effects in directed.items() if effects},
        kind_reach=KIND_REACH,
        settings_reach=SETTINGS_REACH,
        time_scale_spread=TIME_SCALE_SPREAD,
    )


def effect_prior(
    priors: Priors, kinds: Sequence[str], combinations: Sequence[Combination]
) -> EffectPrior:
    """The prior of all effects, for runs on these kinds of data, other than the base's, and of
    these different combinations of settings.
    """
    columns = (
        "base",
        *priors.reach,
        *(f"data:{kind}" for kind in kinds),
        *(f"settings:{number}" for number in range(len(combinations))),
    )
    mean = np.zeros((len(priors.parameters), len(columns)))
    spread = np.zeros_like(mean)
    for row, parameter in enumerate(priors.parameters):
        mean[row, 0], spread[row, 0] = np.log(parameter.centre), parameter.spread
        for column, name in enumerate(columns[1:], start=1):
            if name.startswith("data:"):
                reach = priors.kind_reach
            elif name.startswith("settings:"):
                reach = priors.settings_reach
            else:
                reach = priors.reach[name]
            spread[row, column] = reach * parameter.setting_spread
            if name == "time_scale" and parameter.time_scale:
                mean[row, column] = parameter.time_scale
                spread[row, column] = priors.time_scale_spread * abs(parameter.time_scale)
            effects = priors.directed.get(name, {})
            if parameter.name in effects:
                mean[row, column], spread[row, column] = effects[parameter.name]
    return EffectPrior(
        columns=columns,
        mean=mean,
        spread=spread,
        correlation=correlation(combinations, combinations, priors.reach, priors.unknown),
    )
