"""Rivals in closed form: how the strengths s1 of ICL and s2 of CIWL grow from 0 to 1.

Readout (gains, and factors of their own on flip) and calibration are those of the toy models, so
only the dynamics differ.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import SIGNS, accuracy, logistic
from .theory import TheoryParameter, slopes_by_differences, theory_parameters

Array = NDArray[np.float64]

GAINS = theory_parameters(
    {
        "gain_icl": (1.5, 0.5, 0.15, 0.5),
        "gain_ciwl": (2.8, 0.5, 0.1, 0.3),
        "flip_factor_icl": (1.0, 0.3, 0.1, 0.15),
        "flip_factor_ciwl": (1.2, 0.3, 0.1, 0.15),
    }
)


class StrengthTheory(abc.ABC):
    """A theory that gives the two strengths; subclasses set ``name`` and ``dynamics``."""

    name: str
    dynamics: tuple[TheoryParameter, ...]

    @property
    def parameters(self) -> tuple[TheoryParameter, ...]:
        """The dynamics' parameters, then the gains."""
        return (*self.dynamics, *GAINS)

    @abc.abstractmethod
    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """s1 and s2, shape ``(batch, times)``, from parameter values of shape ``(batch, 1)``."""

    def curves(self, thetas: Array, times: Array) -> Mapping[str, Array]:
        """Accuracies of many parameter sets, see `Theory.curves`."""
        columns = np.exp(np.clip(thetas, -60.0, 60.0)).T[:, :, None]
        values = dict(zip((p.name for p in self.parameters), columns, strict=True))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            strengths = dict(zip(("icl", "ciwl"), self.strengths(values, times), strict=True))
        gains = {s: values[f"gain_{s}"] for s in strengths}
        flip_gains = {s: gain * values[f"flip_factor_{s}"] for s, gain in gains.items()}
        return {
            e: accuracy(signs, flip_gains if e == "flip" else gains, strengths).value
            for e, signs in SIGNS.items()
        }

    def slopes(self, theta: Array, times: Array) -> Mapping[str, tuple[Array, Array]] | None:
        """Accuracies and derivatives of one parameter set, see `Theory.slopes`."""
        return slopes_by_differences(self, theta, times)


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


class LossComplexity(StrengthTheory):
    """A learner who weighs the strategies' loss against their complexity.

    The log-odds of memorising (M) against generalising (G) after n sequences are

        η(n) = −ln 2 · (K_M^β − K_G^β) + γ n^{1−α} Δℓ

    with K the complexities and Δℓ the difference of the losses. Only two combinations show in
    curves: the complexity C = ln 2 · (K_M^β − K_G^β) and the n_c at which η = 0, so that
    η = C ((n/n_c)^p − 1), p = 1 − α. The theory is of a learner that has learnt to answer; the rise
    of answers from chance is added as A(n) = 1 − exp(−(n/n_l)^k), and s1 = A (1 − σ(η)),
    s2 = A σ(η).

    Reference: Wurgaft et al. 2025, In-context learning strategies emerge rationally.
    """

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
