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
from .theory import theory_parameters

Array = NDArray[np.float64]


class LossComplexity(StrengthTheory):
    """The rational trade-off between loss and complexity; see the module."""

    name = "loss-complexity"
    dynamics = theory_parameters(
        {
            "complexity": (3.0, 1.0, 0.2, 0.7),
            "crossing": (8e6, 1.0, 0.2, 1.0, 1.0),
            "power": (0.5, 0.5, 0.15, 0.3),
            "learning": (3e6, 1.0, 0.2, 0.7, 1.0),
            "sharpness": (2.0, 0.7, 0.2, 0.5),
        }
    )

    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """See `StrengthTheory.strengths`."""
        n = times[None, :]
        odds = values["complexity"] * ((n / values["crossing"]) ** values["power"] - 1.0)
        memorising = logistic(odds)
        answers = 1.0 - np.exp(-((n / values["learning"]) ** values["sharpness"]))
        return answers * (1.0 - memorising), answers * memorising
