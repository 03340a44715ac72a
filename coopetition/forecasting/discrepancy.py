"""What a theory leaves out of a curve, as a random function.

A measured accuracy is read as

    y(t) = p(t) + λ s_e √(4 p (1 − p)) z(u) + noise,    u = log(t + t0)

with z a Gaussian process of unit variance and Matérn-3/2 correlation (1 + h) e^{−h},
h = √3 |u − u'|/ℓ. Residuals of the published runs are smooth in log-time, so a theory that took 200
points for independent would be far too sure. s_e differs between evaluators, λ between runs; λ is
averaged over. The factor √(4 p (1 − p)) lets the discrepancy vanish where an accuracy saturates.

This covers the shape of curves. But the equations are not those of a transformer: no θ is the true
one, and the one that fits the beginning best need not fit the end. Forecasts therefore raise the
likelihood to a power below 1, which widens the posterior (`likelihood_power`).

References: Kennedy & O'Hagan 2001, J. R. Stat. Soc. B 63:425 (discrepancy); Miller & Dunson 2019,
J. Am. Stat. Assoc. 114:1113 (powers of the likelihood).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyMapping

Array = NDArray[np.float64]

SATURATED = 0.02  # accuracies nearer to 0 or 1 vary as one at this distance would
LEAST = 0.004  # discrepancy of a saturated accuracy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """The random function between theory and measurement.

    The defaults are maximum-likelihood values for the residuals of the paper's toy model on the
    published runs.

    Parameters
    ----------
    spread
        s_e by evaluator, in accuracy at p = ½; ``other`` for those not named.
    length
        Correlation length ℓ in u.
    early
        t0 in sequences at the base time scale (learning rate 1e-5, batch 32).
    noise
        Standard deviation of a point's own error at p = ½ where no standard error is known.
    scales, weights
        Values of λ and their prior probabilities.
    likelihood_power
        Power to which forecasts raise the likelihood of a log.

    Raises
    ------
    ValueError
        If a number is not positive or the weights do not fit the scales.
    """

    spread: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {
            "train": 0.027, "icl": 0.036, "ciwl": 0.032, "flip": 0.028, "other": 0.03,
        }
    )  # fmt: skip
    length: float = 0.35
    early: float = 5e5
    noise: float = 0.008
    scales: tuple[float, ...] = (0.6, 1.0, 1.7, 3.0)
    weights: tuple[float, ...] = (0.2, 0.4, 0.28, 0.12)
    likelihood_power: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "spread", ReadOnlyMapping(self.spread))
        object.__setattr__(self, "scales", tuple(self.scales))
        object.__setattr__(self, "weights", tuple(self.weights))
        positive = {
            name: getattr(self, name) for name in ("length", "early", "noise", "likelihood_power")
        }
        positive |= {f"spread[{name!r}]": value for name, value in self.spread.items()}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} of a discrepancy must be positive, not {value!r}")
        if "other" not in self.spread:
            raise ValueError("spread of a discrepancy needs a value for 'other' evaluators")
        if len(self.scales) != len(self.weights) or not np.isclose(sum(self.weights), 1.0):
            raise ValueError(
                f"weights {self.weights} must be as many as scales {self.scales} and sum to 1"
            )

    def log_time(self, sequences: Array, time_scale: float) -> Array:
        """Log-time u at sequences since the start; the time scale is in units of the base's."""
        return np.asarray(np.log(sequences + self.early * time_scale))

    def correlation(self, u: Array, v: Array) -> Array:
        """Correlation of z between log-times, shape ``(u, v)``."""
        h = np.sqrt(3.0) * np.abs(u[:, None] - v[None, :]) / self.length
        return np.asarray((1.0 + h) * np.exp(-h))

    def deviation(self, evaluator: str, accuracy: Array) -> Array:
        """Standard deviation of the discrepancy at λ = 1 around accuracies of any shape."""
        spread = self.spread.get(evaluator, self.spread["other"])
        p = np.clip(accuracy, SATURATED, 1.0 - SATURATED)
        return np.asarray(LEAST + spread * (2.0 * np.sqrt(p * (1.0 - p))))
