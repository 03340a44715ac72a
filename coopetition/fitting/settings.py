"""How a fit is done: number of starts, weights, tolerances."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from ..errors import unknown_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of `fit`.

    Parameters
    ----------
    starts
        Starts polished to an optimum, the best of those screened.
    screened
        Points of a scrambled Sobol set whose cost is looked at first; a power of 2.
    separate_flip
        Whether the flip evaluator has gains of its own.
    losses
        Whether loss curves are fitted along with the accuracies; the log must have one.
    points
        Most points kept of a curve, evenly spread over its rows, first and last included.
    discrepancy
        Standard deviation of what the model leaves out of an accuracy, added in quadrature to the
        standard errors. The published runs are missed by .015 to .035, far more than their sampling
        error of .007, so without it the fit would chase noise it has no term for.
    loss_discrepancy
        The same for losses, in nats.
    seed
        Of the Sobol set and of anything else drawn.
    rtol, atol
        Tolerances of the integration; the cost is then exact to about 1e-5 of itself.
    max_steps
        Steps after which a simulation counts as failed.
    max_evaluations
        Evaluations a polish may take.

    Raises
    ------
    ValueError
        If a number is out of range; the message names it.

    Examples
    --------
    >>> FitSettings(starts=8).screened
    4096
    """

    starts: int = 32
    screened: int = 4096
    separate_flip: bool = False
    losses: bool = False
    points: int = 200
    discrepancy: float = 0.02
    loss_discrepancy: float = 0.05
    seed: int = 0
    rtol: float = 1e-7
    atol: float = 1e-9
    max_steps: int = 5000
    max_evaluations: int = 100

    def __post_init__(self) -> None:
        for name in ("starts", "screened", "points", "max_steps", "max_evaluations"):
            object.__setattr__(self, name, _whole(name, getattr(self, name), least=1))
        object.__setattr__(self, "seed", _whole("seed", self.seed, least=0))
        if self.screened & (self.screened - 1):
            raise ValueError(f"screened must be a power of 2, not {self.screened}")
        if self.screened < self.starts:
            raise ValueError(
                f"screened ({self.screened}) must be at least starts ({self.starts}); raise it"
            )
        if self.points < 2:
            raise ValueError(f"points must be at least 2, not {self.points}")
        for name in ("discrepancy", "loss_discrepancy"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)!r}")
        for name in ("rtol", "atol"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)!r}")

    def changed(self, **changes: Any) -> FitSettings:
        """These settings with some fields replaced; unknown names are refused."""
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise unknown_name("setting of a fit", name, known)
        return dataclasses.replace(self, **changes)


def _whole(name: str, value: Any, *, least: int) -> int:
    """The number, numpy's among them, as Python's.

    Raises
    ------
    ValueError
        If it is not whole or below the least.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)
