"""Two logistic curves that know nothing of each other: the plainest account of two strategies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .strengths import StrengthTheory
from .theory import theory_parameters

Array = NDArray[np.float64]


class Logistics(StrengthTheory):
    """s_i = 1/(1 + (t_i/t)^k_i): each strategy rises once, logistic in log sequences.

    Examples
    --------
    >>> import numpy as np
    >>> theory = Logistics()
    >>> theta = np.log([[p.centre for p in theory.parameters]])
    >>> theory.curves(theta, np.array([0.0, 1e9]))["train"].round(2).tolist()
    [[0.5, 0.99]]
    """

    name = "logistics"
    dynamics = theory_parameters(
        {
            "time_icl": (3e6, 1.0, 0.2, 0.7, 1.0),
            "time_ciwl": (6e6, 1.0, 0.2, 1.0, 1.0),
            "steepness_icl": (4.0, 0.7, 0.2, 0.5),
            "steepness_ciwl": (2.0, 0.7, 0.2, 0.5),
        }
    )

    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """See `StrengthTheory.strengths`."""
        t = np.maximum(times, 1e-9)[None, :]
        s1 = 1.0 / (1.0 + (values["time_icl"] / t) ** values["steepness_icl"])
        s2 = 1.0 / (1.0 + (values["time_ciwl"] / t) ** values["steepness_ciwl"])
        return s1, s2
