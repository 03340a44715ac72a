"""Correlation between settings: near combinations share what a sum of effects misses.

Effects are linear in the covariates, the truth is not: twice as many classes need not do twice what
1.4 times as many do. What the sum misses at settings z is a Gaussian process with correlation

    κ(z, z′) = (1 − ν) exp(−½ Σ_c (ρ_c (z_c − z′_c) / ρ)²) + ν [z = z′],

ρ_c how far a unit of covariate c can move a parameter (`Covariate.reach`): settings are as far
apart as what they can do. Runs on other kinds of data have nothing in common.

A covariate missing in settings is one unknown number, z_c ~ N(0, u_c²) with u_c its
`Covariate.unknown`, the same in all settings that lack it; κ is the expectation over it, and an
expectation of correlations is one. Where one of two settings has z_c, its factor becomes

    E exp(−½ s² (z_c − Z)²) = exp(−½ s² z_c² / (1 + s² u_c²)) / √(1 + s² u_c²),   s = ρ_c / ρ,

which for u_c = 0 takes a missing covariate as 0.

Reference: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, §2.7 (a linear model
beside a Gaussian process).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMOOTH = 0.4  # ρ: a covariate of this reach correlates over one unit
OWN = 0.2  # ν: share of the variance that settings have for themselves

ROWS, COLUMNS = (slice(None), None), (None, slice(None))

Combination = tuple[Hashable, ...]  # the kind of data, then the covariates, None where unknown


def correlation(
    first: Sequence[Combination],
    second: Sequence[Combination],
    reach: Mapping[str, float],
    unknown: Mapping[str, float],
) -> Array:
    """Correlations κ between combinations of settings, shape ``(first, second)``.

    The covariates' ρ and u stand in the order in which combinations hold them.
    """
    scale = np.array(list(reach.values())) / SMOOTH
    a, b = (
        _values(these, len(scale))[shape] for these, shape in ((first, ROWS), (second, COLUMNS))
    )
    one_says = np.isnan(a) != np.isnan(b)
    apart = scale * (np.nan_to_num(a) - np.nan_to_num(b))
    wider = 1.0 + one_says * (scale * np.array(list(unknown.values()))) ** 2
    smooth = np.exp(-0.5 * np.sum(apart**2 / wider, axis=-1)) / np.sqrt(np.prod(wider, axis=-1))
    same_kind = np.array([[one[0] == other[0] for other in second] for one in first])
    same = np.array([[one == other for other in second] for one in first])
    shape = (len(first), len(second))  # of empty lists too
    return np.asarray((1 - OWN) * smooth * same_kind.reshape(shape) + OWN * same.reshape(shape))


def _values(combinations: Sequence[Combination], count: int) -> Array:
    """Covariates of combinations, NaN where unknown, shape ``(combinations, count)``."""
    rows = [one[1:] for one in combinations]
    return np.array(rows, dtype=np.float64).reshape(len(rows), count)  # None becomes NaN
