"""Posterior draws of a run's parameters given its log, by sequential Monte Carlo from the prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..fitting.smc import FIRST, Population, sequential_monte_carlo
from .observations import Observations
from .prior import ParameterPrior
from .theories.theory import Theory

Array = NDArray[np.float64]


def posterior(
    theory: Theory,
    prior: ParameterPrior,
    observations: Observations,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    moves: int = 4,
) -> Population:
    """Draws from p(θ) p(log | θ)^(likelihood power)."""

    def log_likelihood(thetas: Array) -> Array:
        curves = theory.curves(thetas, observations.times)
        return observations.discrepancy.likelihood_power * observations.log_likelihood(curves)

    first = prior.sample(FIRST * draws, rng)
    return sequential_monte_carlo(
        first, prior.log_density, log_likelihood, rng, draws=draws, moves=moves
    )
