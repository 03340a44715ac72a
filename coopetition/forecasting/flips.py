"""Possible flip accuracies of many runs not yet begun, at the same random numbers.

`coopetition.forecasting.forecast_settings` draws its random numbers from the seed alone. Priors
that share an origin and a time_scale therefore share the discrepancy's draws, and the trajectories
of many of them fill one batch. The flips are those that separate forecasts would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import GRADING, graded_grid
from ..seeds import stream
from .discrepancy import Discrepancy
from .paths import unseen, with_discrepancy
from .prior import ParameterPrior
from .theories.theory import Theory

Array = NDArray[np.float64]

TIMES = 100  # of a path, up to its horizon
TOGETHER = 4000  # trajectories in memory at once, some 25 MB


def path_times(prior: ParameterPrior, horizon: float) -> Array:
    """Sequences since the start at which paths to a horizon are known, shape ``(TIMES,)``."""
    return graded_grid(horizon - prior.origin, GRADING * prior.time_scale, TIMES)[1:]


def possible_flips(
    theory: Theory,
    discrepancy: Discrepancy,
    priors: Sequence[ParameterPrior],
    *,
    horizon: float,
    draws: int,
    seed: int = 0,
) -> Iterator[tuple[list[int], Array]]:
    """Flip accuracies of so many futures of each prior, batch by batch.

    Parameters
    ----------
    theory
        What turns θ into curves.
    discrepancy
        The random function between theory and curves.
    priors
        Distributions of θ, whose origins lie before the horizon.
    horizon
        Sequences at which the futures end.
    draws
        Futures of each prior.
    seed
        Of all randomness, the same for each.

    Yields
    ------
    tuple
        Indices of some of the priors, and their flips at the `path_times`, shape
        ``(priors, draws, times)``; NaN where a simulation failed.
    """
    for members in _batches(priors, max(1, TOGETHER // draws)):
        group = [priors[i] for i in members]
        yield members, _flips(theory, discrepancy, group, horizon, draws, seed)


def flips_of(
    theory: Theory,
    discrepancy: Discrepancy,
    prior: ParameterPrior,
    *,
    horizon: float,
    draws: int,
    seed: int = 0,
) -> Array:
    """The flips of one prior whose simulations succeeded, ``(draws or fewer, times)``.

    Arguments as in `possible_flips`.
    """
    ((_, flips),) = possible_flips(
        theory, discrepancy, [prior], horizon=horizon, draws=draws, seed=seed
    )
    return np.asarray(flips[0][np.isfinite(flips[0][:, -1])])


def _batches(priors: Sequence[ParameterPrior], most: int) -> Iterator[list[int]]:
    """Indices of priors of one origin and time_scale, at most so many at a time."""
    alike: dict[tuple[float, float], list[int]] = {}
    for i, prior in enumerate(priors):
        alike.setdefault((prior.origin, prior.time_scale), []).append(i)
    for members in alike.values():
        for first in range(0, len(members), most):
            yield members[first : first + most]


def _flips(
    theory: Theory,
    discrepancy: Discrepancy,
    group: Sequence[ParameterPrior],
    horizon: float,
    draws: int,
    seed: int,
) -> Array:
    """The flips of priors of one origin and time_scale."""
    grid = path_times(group[0], horizon)
    rngs = [stream(seed, "forecast") for _ in group]
    thetas = [prior.sample(draws, rng) for prior, rng in zip(group, rngs, strict=True)]
    curves = theory.curves(np.concatenate(thetas), grid)
    missed = unseen(
        tuple(curves), draws, grid, discrepancy, rngs[0], time_scale=group[0].time_scale
    )["flip"]
    whole = np.all([np.all(np.isfinite(y), axis=1) for y in curves.values()], axis=0)
    flip = curves["flip"].reshape(len(group), draws, len(grid))
    flip = with_discrepancy(discrepancy, "flip", flip, missed)
    flip[~whole.reshape(len(group), draws)] = np.nan
    return flip
