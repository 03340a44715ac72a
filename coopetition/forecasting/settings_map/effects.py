"""What is believed of the effects of settings before any run is seen.

θ = base + Σ effect · covariate + offset of the data + offset of the settings + own deviation. Every
covariate may move every parameter, by `Covariate.reach` × `TheoryParameter.setting_spread`; those
listed here have a direction too. They are priors: data that say otherwise overturn them. These are
for new maps; a map keeps those it was calibrated with
(`coopetition.forecasting.settings_map.priors`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays
from ...fitting.symmetry import RATE
from ...settings.covariates import COVARIATES
from ..theories.theory import Theory
from .correlation import Combination, correlation
from .priors import Priors

Array = NDArray[np.float64]

KIND_REACH = 2.5  # of other data, in units of a parameter's setting_spread: another world
SETTINGS_REACH = 0.6  # of what a sum of effects misses at one combination of settings
PACE_SPREAD = 0.2  # of the power with which a rate follows batch size / learning rate

# (covariate, parameter): mean, standard deviation; the reason
DIRECTED: Mapping[tuple[str, str], tuple[float, float]] = {
    ("classes", "n_d"): (0.35, 0.25),  # more classes take longer to memorise
    ("exemplars", "mu1"): (0.15, 0.2),  # more exemplars match less well in context ...
    ("exemplars", "n_d"): (0.25, 0.25),  # ... and take longer to memorise
    ("matching", "mu1"): (1.0, 0.3),  # what is matched exactly leaves no error of ICL
    ("mlp", "alpha"): (0.0, 1.0),  # capacity
    ("mlp", "x_a"): (0.5, 1.0),
    ("one_layer", "x_a"): (-2.0, 1.0),  # induction takes two layers (Olsson et al. 2022) ...
    ("one_layer", "gain_icl"): (-1.5, 1.0),  # ... and one has little to gain by trying
    ("depth", RATE): (0.3, 0.4),
    ("fixed_positions", "x_a"): (-1.0, 1.0),  # a previous-token head is harder to find
    ("fixed_positions", RATE): (0.5, 1.0),
    ("width", "alpha"): (-0.5, 0.5),  # capacity
    ("head_start", "x_d"): (1.0, 1.0),  # CIWL-only training grows d and the shared b, c
    ("head_start", "x_b"): (1.0, 1.0),
    ("spread", "mu1"): (0.5, 0.4),  # exemplars of a class match less well
    ("spread", "n_d"): (0.2, 0.3),
    ("context", "x_a"): (-0.3, 0.3),  # ICL comes later in long contexts (Nguyen & Reddy 2024)
    ("burstiness", "x_a"): (0.3, 0.3),  # and earlier with copies (Zucchet et al. 2025)
    ("zipf", "n_d"): (-0.3, 0.5),  # frequent classes are memorised first (Chan et al. 2022)
    ("label_noise", "mu2"): (0.7, 0.5),  # what cannot be memorised (B. Chan et al. 2024)
    ("input_noise", "mu2"): (0.5, 0.5),
    ("input_noise", "mu1"): (0.3, 0.5),
    ("match_error", "mu1"): (0.4, 0.4),
    ("probe_error", "mu2"): (0.4, 0.4),
}


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
        found = np.zeros((k, len(used), k, len(used)))
        for row in range(k):
            scale = 1.0 / self.spread[row, used]
            found[row, :, row, :] = scale[:, None] * inverse * scale
        return found


def current_priors(theory: Theory) -> Priors:
    """What is believed now of a theory's parameters and of the effects on them.

    Examples
    --------
    >>> from coopetition.forecasting.theories.toy_model import toy_theory
    >>> current_priors(toy_theory("coopetition")).directed["matching"]["mu1"]
    (1.0, 0.3)
    """
    known = {parameter.name for parameter in theory.parameters}
    directed: dict[str, dict[str, tuple[float, float]]] = {}
    for (covariate, name), effect in DIRECTED.items():
        if name in known:
            directed.setdefault(covariate, {})[name] = effect
    return Priors(
        parameters=theory.parameters,
        reach={c.name: c.reach for c in COVARIATES},
        unknown={c.name: c.unknown for c in COVARIATES},
        directed=directed,
        kind_reach=KIND_REACH,
        settings_reach=SETTINGS_REACH,
        time_scale_spread=PACE_SPREAD,
    )


def effect_prior(
    priors: Priors, kinds: Sequence[str], combinations: Sequence[Combination]
) -> EffectPrior:
    """The prior of all effects.

    Parameters
    ----------
    priors
        Of the parameters and the covariates.
    kinds
        Kinds of data other than the base's that the runs have.
    combinations
        The different combinations of settings that the runs have.
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
