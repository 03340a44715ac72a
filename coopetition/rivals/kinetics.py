"""A race: ICL grows only as long as memorising leaves errors to learn from.

ICL needs two parts, the weight w of its output and the selectivity β of its attention,

    dw/dτ = e^β − c₂ w,    dβ/dτ = w e^β,    τ = I_K(t)/N,

driven by what memorising has not yet explained: dI_K/dt = e^{−t/T_K}, so τ never exceeds T_K/N. If
that is too little, ICL never forms. With ds = e^β dτ the blow-up at a finite τ moves to s = ∞:

    dβ/ds = w,    dw/ds = 1 − c₂ w e^{−β},    dτ/ds = e^{−β}.

s1 = tanh(β/2), the preference of a softmax over two exemplars; s2 = 1 − e^{−t/T_K}.

Reference: Nguyen & Reddy 2024, arXiv 2412.00104.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..forecasting.theory import TheoryParameter
from .strengths import StrengthTheory

Array = NDArray[np.float64]

LENGTH, STEPS = 8.0, 80  # of s: β reaches tens by its end, where tanh(β/2) is 1


class Kinetics(StrengthTheory):
    """The race between memorising and generalising; see the module.

    Examples
    --------
    >>> [p.name for p in Kinetics().dynamics]
    ['memorising', 'driving', 'weight', 'selectivity', 'decay']
    """

    name = "kinetics"
    dynamics = (
        TheoryParameter(
            name="memorising", centre=6e6, spread=1.0, seed_spread=0.2, setting_spread=1.0, pace=1.0
        ),
        TheoryParameter(
            name="driving", centre=1.5e6, spread=1.0, seed_spread=0.2, setting_spread=0.7, pace=1.0
        ),
        TheoryParameter(name="weight", centre=0.1, spread=1.0, seed_spread=0.3, setting_spread=0.7),
        TheoryParameter(
            name="selectivity", centre=0.1, spread=1.0, seed_spread=0.3, setting_spread=0.7
        ),
        TheoryParameter(name="decay", centre=0.3, spread=1.5, seed_spread=0.3, setting_spread=0.7),
    )

    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """See `StrengthTheory.strengths`."""
        memorised = -np.expm1(-times[None, :] / values["memorising"])
        drive = values["memorising"] * memorised / values["driving"]
        tau, beta = _growth(
            values["weight"][:, 0], values["selectivity"][:, 0], values["decay"][:, 0]
        )
        found = np.array([np.interp(d, t, b) for d, t, b in zip(drive, tau, beta, strict=True)])
        return np.tanh(found / 2.0), memorised


def _growth(weight: Array, selectivity: Array, decay: Array) -> tuple[Array, Array]:
    """τ and β along s, shape ``(batch, STEPS + 1)``, by the classical Runge–Kutta method."""

    def flow(state: Array) -> Array:
        w, beta, _ = state
        rest = np.exp(-beta)
        return np.array([1.0 - decay * w * rest, w, rest])

    step = LENGTH / STEPS
    state = np.array([weight, selectivity, np.zeros_like(weight)])
    states = [state]
    for _ in range(STEPS):
        k1 = flow(state)
        k2 = flow(state + 0.5 * step * k1)
        k3 = flow(state + 0.5 * step * k2)
        k4 = flow(state + step * k3)
        state = state + step / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    along = np.array(states)  # (step, part, batch)
    return along[:, 2].T, along[:, 1].T
