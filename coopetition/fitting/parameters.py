"""How a fit is done (`FitSettings`), and which parameters it may move (`Parameter`)."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..dynamics.model import Model
from ..dynamics.readout import Readout, readout_parameters
from ..errors import unknown_name
from .symmetry import RATE, gauge

# Bounds span what the published runs reach with a decade or more to spare; they are the box the
# starts are drawn from, so wider costs starts, and an optimum at a bound is reported as such.
START_BOUNDS = (1e-4, 2.0)
FLOOR_BOUNDS = (1e-6, 1e2)
WEIGHT_BOUNDS = (1e-4, 1e3)
DECAY_BOUNDS = (1e-7, 1.0)
GAIN_BOUNDS = (0.3, 20.0)
LOSS_BOUNDS = (1e-4, 20.0)
SPEED_RANGE = (1e-1, 1e5)  # n_v against the first vector's dimension
DURATION_RANGE = (1e-2, 1e5)  # model time of the log in units of the first vector's dimension


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of `fit`.

    Parameters
    ----------
    starts, screened
        Starts led to an optimum, the best of so many points of a scrambled Sobol set, a power of 2.
    separate_flip, losses
        Whether the flip evaluator has gains of its own, and whether loss curves are fitted too.
    points
        Most points used of a curve, evenly spread over its rows, first and last included.
    discrepancy, loss_discrepancy
        Standard deviation of what the model leaves out of an accuracy, and of a loss in nats, added
        in quadrature to the standard errors. The model misses the published runs by .015 to .035,
        far more than their sampling error of .007.
    seed
        Of the Sobol set.
    rtol, atol
        Tolerances of the integration; the cost is then exact to about 1e-5 of itself.
    max_steps, max_evaluations
        Steps after which a simulation counts as failed, and simulations that a start may take.

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
        least = {"seed": 0, "points": 2}
        for name in ("starts", "screened", "points", "seed", "max_steps", "max_evaluations"):
            number = _whole(name, getattr(self, name), least=least.get(name, 1))
            object.__setattr__(self, name, number)
        if self.screened & (self.screened - 1):
            raise ValueError(f"screened must be a power of 2, not {self.screened}")
        if self.screened < self.starts:
            raise ValueError(
                f"screened ({self.screened}) must be at least starts ({self.starts}); raise it"
            )
        for name in ("discrepancy", "loss_discrepancy"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)!r}")
        for name in ("rtol", "atol"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)!r}")

    def changed(self, **changes: Any) -> FitSettings:
        """These settings with some fields replaced; unknown names are refused."""
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise unknown_name("setting of a fit", name, names)
        return dataclasses.replace(self, **changes)


def _whole(name: str, value: Any, *, least: int) -> int:
    """A whole number, numpy's too, as Python's; others and those below the least are refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a fit.

    Parameters
    ----------
    name
        ``x_v``, ``y_v`` (starts), a parameter of the model, or a field of `Readout`.
    value, lower, upper
        The value held, or a first guess, and bounds, in the parameter's own units.
    vary, scale
        Whether the fit may move it; ``log`` fits the logarithm of a positive parameter.

    Raises
    ------
    ValueError
        If the bounds are in the wrong order or hold no positive number on a log scale.

    Examples
    --------
    >>> Parameter(name="mu1", value=0.0, vary=False).vary
    False
    """

    name: str
    value: float
    lower: float = -math.inf
    upper: float = math.inf
    vary: bool = True
    scale: Literal["log", "linear"] = "log"

    def __post_init__(self) -> None:
        if self.scale not in ("log", "linear"):
            raise ValueError(f"scale of {self.name} must be 'log' or 'linear', not {self.scale!r}")
        if not math.isfinite(self.value):
            raise ValueError(f"value of {self.name} must be finite, not {self.value!r}")
        if not self.vary:
            return
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise ValueError(
                f"{self.name} varies and needs finite bounds, not [{self.lower}, {self.upper}]; "
                "give lower and upper, or vary=False"
            )
        if self.scale == "log" and self.lower <= 0:
            raise ValueError(
                f"lower bound of {self.name} on a log scale must be positive, not {self.lower}; "
                "raise it or use scale='linear'"
            )
        if not self.lower <= self.value <= self.upper or self.lower == self.upper:
            raise ValueError(
                f"{self.name} must satisfy lower <= value <= upper and lower < upper, "
                f"not {self.lower} <= {self.value} <= {self.upper}"
            )

    def to_internal(self, value: float) -> float:
        """The number the optimiser sees."""
        return math.log(value) if self.scale == "log" else value

    def to_external(self, internal: float) -> float:
        """The parameter's value from the optimiser's number."""
        return math.exp(internal) if self.scale == "log" else internal


def _free(name: str, bounds: tuple[float, float], guess: float | None = None) -> Parameter:
    lower, upper = bounds
    if guess is None or not lower <= guess <= upper:
        guess = math.sqrt(lower * upper)
    return Parameter(name=name, value=guess, lower=lower, upper=upper)


def model_parameters(model: Model, duration: float) -> tuple[Parameter, ...]:
    """A model's parameters for a log of so many sequences; all that curves determine are free."""
    # held: targets S_v at 1, orthogonal starts y_v at 0, and the dimensions that `gauge` names
    targets = [f"S_{v}" for v in model.vectors]
    held = gauge(model, targets)
    first = float(model.dimensions[model.vectors[0]])
    speeds = (SPEED_RANGE[0] * first, SPEED_RANGE[1] * first)
    rates = (duration / first / DURATION_RANGE[1], duration / first / DURATION_RANGE[0])
    bounds: dict[str | None, tuple[float, float]] = {
        **{s.floor: FLOOR_BOUNDS for s in model.strategies},
        **dict.fromkeys(model.decay.values(), DECAY_BOUNDS),
    }
    dimensions = {f"n_{vector}": float(size) for vector, size in model.dimensions.items()}
    return (
        _free(RATE, rates),
        *(
            Parameter(name=name, value=size, vary=False)
            if name in held
            else _free(name, speeds, size)
            for name, size in dimensions.items()
        ),
        *(
            _free(name, bounds.get(name, WEIGHT_BOUNDS), default)
            for name, default in model.parameters.items()
        ),
        *(Parameter(name=name, value=1.0, vary=False) for name in targets),
        *(_free(f"x_{v}", START_BOUNDS) for v in model.vectors),
        *(Parameter(name=f"y_{v}", value=0.0, vary=False, scale="linear") for v in model.vectors),
    )


def gain_parameters(
    model: Model, keys: Iterable[tuple[str, str]], readout: Readout
) -> tuple[Parameter, ...]:
    """The free gains, offsets and loss scales that reading these curves needs."""
    return tuple(
        _free(name, LOSS_BOUNDS if name.startswith("loss_") else GAIN_BOUNDS)
        for name in readout_parameters(model.strategy_names, keys, readout)
    )


def adjust(
    parameters: Iterable[Parameter],
    *,
    fixed: Mapping[str, float] | None = None,
    replace: Iterable[Parameter] = (),
) -> tuple[Parameter, ...]:
    """The parameters with some replaced and some held; unknown names are refused."""
    by_name = {p.name: p for p in parameters}
    replacements, values = {p.name: p for p in replace}, fixed or {}
    for name in (*replacements, *values):
        if name not in by_name:
            raise unknown_name("parameter", name, by_name)
    by_name.update(replacements)
    for name, value in values.items():
        by_name[name] = dataclasses.replace(by_name[name], value=float(value), vary=False)
    return tuple(by_name.values())


def box(free: Sequence[Parameter]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bounds in the optimiser's numbers, shape ``(k,)`` each."""
    lower = np.array([p.to_internal(p.lower) for p in free])
    return lower, np.array([p.to_internal(p.upper) for p in free])
