"""How alike combinations of settings are: what a sum of effects misses at one, it misses nearby.

Effects are linear in the covariates, the truth is not: twice as many classes need not do twice what
1.4 times as many do. What the sum misses at settings z is a Gaussian process with correlation

    κ(z, z′) = (1 − ν) exp(−½ Σ_c (ρ_c (z_c − z′_c) / ρ)²) + ν [z = z′],

ρ_c how far a unit of covariate c can move a parameter (`Covariate.reach`): settings are as far
apart as what they can do. Runs on other kinds of data have nothing in common.

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


def kinship(
    first: Sequence[Combination],
    second: Sequence[Combination],
    reach: Mapping[str, float],
    unknown: Mapping[str, float],
) -> Array:
    """Correlations κ between combinations of settings, shape ``(first, second)``.

    Parameters
    ----------
    first, second
        Combinations of settings.
    reach, unknown
        Of the covariates, in the order in which combinations hold them; a covariate that only one
        of two combinations tells is taken to lie ``unknown`` apart.

    Examples
    --------
    >>> pair = [("gaussian", 0.0), ("gaussian", 1.0), ("glyphs", 0.0)]
    >>> kinship(pair[:1], pair, {"classes": 0.4}, {"classes": 2.0}).round(2).tolist()
    [[1.0, 0.49, 0.0]]
    """
    scale = np.array(list(reach.values())) / SMOOTH
    a, b = (
        _values(these, len(scale))[shape] for these, shape in ((first, ROWS), (second, COLUMNS))
    )
    apart = np.where(
        np.isnan(a) == np.isnan(b), np.nan_to_num(a) - np.nan_to_num(b), _gaps(unknown)
    )
    near = np.exp(-0.5 * np.sum((scale * apart) ** 2, axis=-1))
    alike = np.array([[one[0] == other[0] for other in second] for one in first])
    same = np.array([[one == other for other in second] for one in first])
    shape = (len(first), len(second))  # of empty lists too
    return np.asarray((1 - OWN) * near * alike.reshape(shape) + OWN * same.reshape(shape))


def _values(combinations: Sequence[Combination], count: int) -> Array:
    """Covariates of combinations, NaN where unknown, shape ``(combinations, count)``."""
    rows = [one[1:] for one in combinations]
    return np.array(rows, dtype=np.float64).reshape(len(rows), count)  # None becomes NaN


def _gaps(unknown: Mapping[str, float]) -> Array:
    return np.array(list(unknown.values()))
