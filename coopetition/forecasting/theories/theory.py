"""The interface of a theory of a run.

A theory maps a few positive parameters to the accuracy curves of a run. Toy models and their rivals
are calibrated, sampled and scored by the same code, so that they differ in their equations only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIFFERENCE = 1e-4  # step of central differences in log parameters: error ~1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class TheoryParameter:
    """A positive parameter, and its prior before any run is seen.

    All spreads are standard deviations of the natural logarithm.

    Parameters
    ----------
    name
        Its name.
    centre
        Typical value at the base settings.
    spread
        Of the value at the base settings.
    seed_spread
        First guess of how much runs differ that differ in their seed only.
    setting_spread
        How much a change of kind (an MLP, a single layer, other data) may move it.
    time_scale
        Power with which it scales with the time scale of training: 1 for a number of sequences.
    """

    name: str
    centre: float
    spread: float
    seed_spread: float
    setting_spread: float
    time_scale: float = 0.0


def theory_parameters(rows: Mapping[str, tuple[float, ...]]) -> tuple[TheoryParameter, ...]:
    """Parameters from a row each: centre, spread, seed_spread, setting_spread[, time_scale]."""
    fields = [field.name for field in dataclasses.fields(TheoryParameter)][1:]
    return tuple(
        TheoryParameter(name=name, **dict(zip(fields, row, strict=False)))
        for name, row in rows.items()
    )


class Theory(Protocol):
    """Curves from parameters. θ is the vector of the parameters' natural logarithms."""

    @property
    def name(self) -> str:
        """One word."""

    @property
    def parameters(self) -> tuple[TheoryParameter, ...]:
        """The parameters in the order of θ."""

    def curves(self, thetas: Array, times: Array) -> Mapping[str, Array]:
        """Accuracies ``(batch, times)`` by evaluator, of θ ``(batch, k)``.

        Times are sequences since the start of training, increasing. NaN for members that could not
        be simulated.
        """

    def slopes(self, theta: Array, times: Array) -> Mapping[str, tuple[Array, Array]] | None:
        """Accuracies ``(times,)`` and their derivatives ``(times, k)``; None where that failed."""


def parameter_names(theory: Theory) -> tuple[str, ...]:
    """Names of a theory's parameters, in the order of θ."""
    return tuple(parameter.name for parameter in theory.parameters)


def slopes_by_differences(
    theory: Theory, theta: Array, times: Array
) -> Mapping[str, tuple[Array, Array]] | None:
    """Values and central differences, all in one batch, for theories in closed form."""
    k = len(theta)
    step = DIFFERENCE * np.eye(k)
    batch = np.concatenate([theta[None], theta + step, theta - step])
    slopes = {}
    for evaluator, values in theory.curves(batch, times).items():
        if not np.all(np.isfinite(values)):
            return None
        slope = (values[1 : 1 + k] - values[1 + k :]) / (2 * DIFFERENCE)
        slopes[evaluator] = (values[0], np.ascontiguousarray(slope.T))
    return slopes
