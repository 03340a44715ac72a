"""Why a change of settings should keep ICL: the parameters it moves, and what each does alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..fitting.multistart import one_blas_thread
from ..fitting.symmetry import RATE
from ..forecasting.settings_map import SettingsMap

SHOWN = 3  # parameters named in words
LEAST = 0.02  # change of flip at the budget that makes a parameter worth naming
TIMES = 60

MEANINGS: Mapping[str, str] = {
    "alpha": "the cost of holding both circuits",
    "mu1": "the error ICL cannot get below",
    "mu2": "the error CIWL cannot get below",
    "n_d": "the slowness of CIWL's own circuit",
    "n_a": "the slowness of ICL's own circuit",
    "n_b": "the slowness of the shared circuits",
    RATE: "the speed of training",
    "x_a": "the start of ICL's own circuit",
    "x_b": "the start of the shared circuits",
    "x_d": "the start of CIWL's own circuit",
    "gain_icl": "the confidence of ICL",
    "gain_ciwl": "the confidence of CIWL",
    "flip_factor_icl": "the weight of ICL where the two disagree",
    "flip_factor_ciwl": "the weight of CIWL where the two disagree",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """How a change of settings moves the median of one parameter, and what that alone does."""

    parameter: str
    before: float
    after: float
    flip: float  # flip accuracy at the budget if only this parameter changed

    def in_words(self) -> str:
        """The parameter, its meaning and its values, after a verb."""
        meaning = f", {MEANINGS[self.parameter]}," if self.parameter in MEANINGS else ""
        return (
            f"{self.parameter}{meaning} from {self.before:.3g} to {self.after:.3g} "
            f"(alone: flip {self.flip:.2f})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mechanism:
    """How a change of settings acts on flip accuracy through the medians of the parameters."""

    flip_before: float  # flip accuracy at the budget
    flip_after: float
    shifts: tuple[Shift, ...]  # of all parameters that move, the one that matters most first
    budget: float  # in sequences

    def in_words(self, changes: Mapping[str, tuple[float, float]]) -> str:
        """A sentence on the changes, ``(before, after)`` by setting."""
        subject = " and ".join(f"{name} {a:g} → {b:g}" for name, (a, b) in changes.items())
        ending = "" if len(changes) > 1 else "s"
        effects = [
            f"{'raise' if s.after > s.before else 'lower'}{ending} {s.in_words()}"
            for s in self.shifts
            if abs(s.flip - self.flip_before) >= LEAST
        ][:SHOWN]
        moved = "; ".join(effects) or f"move{ending} no parameter that matters alone"
        return (
            f"{subject} {moved}; at the medians, flip at {self.budget:,.0f} sequences goes from "
            f"{self.flip_before:.2f} to {self.flip_after:.2f}."
        )


def mechanism(
    settings_map: SettingsMap,
    base: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    budget: float,
) -> Mechanism:
    """Compare the medians of the parameters at two settings, and the effect of each difference.

    Parameters
    ----------
    settings_map
        From settings to parameters.
    base, settings
        Settings before and after, by short name.
    budget
        Sequences at which flip accuracy is compared.

    Examples
    --------
    >>> from coopetition.forecasting.settings_map import default_map
    >>> from coopetition.logs import read_curves
    >>> base = dict(read_curves("published:main")[0].settings)
    >>> matched = {**base, "match_probability": 1.0}
    >>> mechanism(default_map(), base, matched, budget=2e7).shifts[0].parameter
    'mu1'
    """
    with one_blas_thread():
        theory = settings_map.the_theory()
        before, after = settings_map.predict(base), settings_map.predict(settings)
        differs = np.flatnonzero(~np.isclose(before.mean, after.mean, rtol=0.0, atol=1e-9))
        thetas = np.tile(before.mean, (len(differs) + 2, 1))
        thetas[1] = after.mean
        thetas[np.arange(len(differs)) + 2, differs] = after.mean[differs]
        times = np.linspace(0.0, budget - before.origin, TIMES)
        flips = theory.curves(thetas, times)["flip"][:, -1].tolist()
    shifts = [
        Shift(
            parameter=before.names[j],
            before=float(np.exp(before.mean[j])),
            after=float(np.exp(after.mean[j])),
            flip=flip,
        )
        for j, flip in zip(differs, flips[2:], strict=True)
    ]
    # those that move flip most first; among equals, those that move most
    shifts.sort(key=lambda s: (-round(abs(s.flip - flips[0]), 3), -abs(np.log(s.after / s.before))))
    return Mechanism(flip_before=flips[0], flip_after=flips[1], shifts=tuple(shifts), budget=budget)
