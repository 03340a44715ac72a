"""A race: ICL grows only while memorising leaves errors to learn from.

ICL needs two parts, the weight w of its output and the selectivity β of its attention,

    dw/dτ = e^β − c₂ w,    dβ/dτ = w e^β,    τ = I_K(t)/N,

driven by the errors that memorising leaves: dI_K/dt = e^{−t/T_K}, so τ never exceeds T_K/N. If
that is too little, ICL never forms. β blows up at a finite τ, and where c₂ is large the equations
are stiff. But w stays positive, so β only rises, and with β itself as the variable one equation in
w and one integral are left, without a blow-up:

    w dw/dβ = 1 − c₂ w e^{−β},    dτ/dβ = e^{−β}/w.

s1 = tanh(β/2), the preference of a softmax over two exemplars; s2 = 1 − e^{−t/T_K}.

Reference: Nguyen & Reddy 2024, arXiv 2412.00104.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .strengths import StrengthTheory
from .theory import theory_parameters

Array = NDArray[np.float64]

REACH, STEPS = 12.0, 240  # of β above its start: tanh(β/2) is within 2e-5 of 1 by the end
INNER = 1.0 - 0.5**0.5  # where in a step its inner stage lies


class Kinetics(StrengthTheory):
    """The race between memorising and generalising; see the module."""

    name = "kinetics"
    dynamics = theory_parameters(
        {
            "memorising": (6e6, 1.0, 0.2, 1.0, 1.0),
            "driving": (1.5e6, 1.0, 0.2, 0.7, 1.0),
            "weight": (0.1, 1.0, 0.3, 0.7),
            "selectivity": (0.1, 1.0, 0.3, 0.7),
            "decay": (0.3, 1.5, 0.3, 0.7),
        }
    )

    def strengths(self, values: Mapping[str, Array], times: Array) -> tuple[Array, Array]:
        """See `StrengthTheory.strengths`."""
        memorised = -np.expm1(-times[None, :] / values["memorising"])
        drive = values["memorising"] * memorised / values["driving"]
        tau, beta = _growth(*(values[name][:, 0] for name in ("weight", "selectivity", "decay")))
        reached = np.array([np.interp(d, t, b) for d, t, b in zip(drive, tau, beta, strict=True)])
        return np.tanh(reached / 2.0), memorised


def _growth(weight: Array, selectivity: Array, decay: Array) -> tuple[Array, Array]:
    """τ and β of positive starts, shape ``(batch, STEPS + 1)``; steps of β grow from its start.

    Alexander's implicit Runge–Kutta method of order 2, which forgets the fast start of large c₂.
    """
    along = selectivity + REACH * np.linspace(0.0, 1.0, STEPS + 1)[:, None] ** 3  # (step, batch)
    steps, rest = np.diff(along, axis=0), np.exp(-along)
    pulls = decay * np.exp(-(along[:-1] + INNER * steps)), decay * rest[1:]
    w, weights = weight, [weight]
    for step, inner, outer in zip(steps, *pulls, strict=True):
        share = INNER * step
        halfway = _weight(w**2 / 2 + share, share * inner)
        energy = w**2 / 2 + (step - share) * (1 - inner * halfway)
        w = _weight(np.maximum(energy, 0.0) + share, share * outer)
        weights.append(w)
    speed = np.array(weights)
    # dβ = w ds, and in s the trapezoidal rule is good even where w starts from nothing
    added = steps * (rest[:-1] + rest[1:]) / (speed[:-1] + speed[1:])
    tau = np.concatenate([np.zeros((1, len(weight))), np.cumsum(added, axis=0)])
    return tau.T, along.T


def _weight(energy: Array, pull: Array) -> Array:
    """The positive root of w²/2 + pull w = energy."""
    return 2 * energy / (pull + np.sqrt(pull**2 + 2 * energy))
