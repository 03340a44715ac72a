"""Strategies as hypotheses of a learner who weighs their loss against their complexity.

The log-odds of memorising (M) against generalising (G) after n sequences are

    η(n) = −ln 2 · (K_M^β − K_G^β) + γ n^{1−α} Δℓ

with K the complexities and Δℓ the difference of the losses. Only two combinations show in curves:
the complexity C = ln 2 · (K_M^β − K_G^β) and the n_c at which η = 0, so that η = C ((n/n_c)^p − 1),
p = 1 − α. The theory speaks of a learner that has learnt to answer; how answers rise from chance is
added as A(n) = 1 − exp(−(n/n_l)^k), and s1 = A (1 − σ(η)), s2 = A σ(η).

Reference: Wurgaft et al. 2025, In-context learning strategies emerge rationally.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import logistic
from .strengths import StrengthTheory
from .theory import TheoryParameter

Array = NDArray[np.float64]


class LossComplexity(StrengthTheory):
    """The rational trade-off between loss and complexity; see the module.

    Examples
    --------
    >>> [p.name for p in LossComplexity().dynamics]
    ['complexity', 'crossing', 'power', 'learning', 'sharpness']
    """

    name = "loss-complexity"
    dynamics = (
        TheoryParameter(
            name="complexity", centre=3.0, spread=1.0, seed_spread=0.2, setting_spread=0.7
        ),
        TheoryParameter(
            name="crossing",
            centre=8e6,
            spread=1.0,
            seed_spread=0.2,
            setting_spread=1.0,
            time_scale=1.0,
        ),
        TheoryParameter(name="power", centre=0.5, spread=0.5, seed_spread=0.15, setting_spread=0.3),
        TheoryParameter(
            name="learning",
            centre=3e6,
            spread=1.0,
            seed_spread=0.2,
            setting_spread=0.7,
            time_scale=1.0,
        ),
        TheoryParameter(
            name="sharpness", centre=2.0, spread=0.7, seed_spread=0.2, setting_spread=0.5
        ),
    )

    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """See `StrengthTheory.strengths`."""
        n = times[None, :]
        odds = values["complexity"] * ((n / values["crossing"]) ** values["power"] - 1.0)
        memorising = logistic(odds)
        answers = 1.0 - np.exp(-((n / values["learning"]) ** values["sharpness"]))
        return answers * (1.0 - memorising), answers * memorising
