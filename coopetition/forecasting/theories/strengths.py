"""Rivals in closed form: how the strengths s1 of ICL and s2 of CIWL grow from 0 to 1.

The readout (gains, and factors of their own on flip) and the calibration are the toy models', so
that a comparison compares the dynamics.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...dynamics.readout import SIGNS, accuracy
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
