"""What a fit may move: a value, its bounds, and whether it varies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Literal

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
class Parameter:
    """One parameter of a fit.

    Parameters
    ----------
    name
        ``x_v``, ``y_v`` (starts), a parameter of the model, or a field of `Readout`.
    value
        Where it is held, or a first guess where it varies.
    lower, upper
        Bounds, in the parameter's own units.
    vary
        Whether the fit may move it.
    scale
        ``log`` fits the logarithm, for what is positive and spans decades.

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
    inside = guess is not None and lower <= guess <= upper
    value = guess if guess is not None and inside else math.sqrt(lower * upper)
    return Parameter(name=name, value=value, lower=lower, upper=upper)


def model_parameters(model: Model, duration: float) -> tuple[Parameter, ...]:
    """The default parameters of a model: every one that curves can tell apart is free.

    Targets S_v are held at 1, orthogonal starts y_v at 0, and as many dimensions at their declared
    value as there are scaling symmetries left (`gauge`).

    Parameters
    ----------
    model
        A declared model.
    duration
        Sequences that the log spans; sets the bounds of the time scale.
    """
    targets = [f"S_{v}" for v in model.vectors]
    held = gauge(model, targets)
    first = float(model.dimensions[model.vectors[0]])
    floors = {s.floor for s in model.strategies}
    found = [
        _free(RATE, (duration / first / DURATION_RANGE[1], duration / first / DURATION_RANGE[0]))
    ]
    for vector, size in model.dimensions.items():
        if f"n_{vector}" in held:
            found.append(Parameter(name=f"n_{vector}", value=float(size), vary=False))
        else:
            bounds = (SPEED_RANGE[0] * first, SPEED_RANGE[1] * first)
            found.append(_free(f"n_{vector}", bounds, float(size)))
    for name, default in model.parameters.items():
        if name in model.decay.values():
            bounds = DECAY_BOUNDS
        else:
            bounds = FLOOR_BOUNDS if name in floors else WEIGHT_BOUNDS
        found.append(_free(name, bounds, default))
    found += [Parameter(name=name, value=1.0, vary=False) for name in targets]
    found += [_free(f"x_{v}", START_BOUNDS) for v in model.vectors]
    found += [
        Parameter(name=f"y_{v}", value=0.0, vary=False, scale="linear") for v in model.vectors
    ]
    return tuple(found)


def gain_parameters(
    model: Model, keys: Iterable[tuple[str, str]], readout: Readout
) -> tuple[Parameter, ...]:
    """The free gains, offsets and loss scales that reading these curves needs."""
    found = []
    for name in readout_parameters(model.strategy_names, keys, readout):
        bounds = LOSS_BOUNDS if name.startswith("loss_") else GAIN_BOUNDS
        found.append(_free(name, bounds))
    return tuple(found)


def adjusted(
    parameters: Iterable[Parameter],
    *,
    fixed: Mapping[str, float] | None = None,
    replace: Iterable[Parameter] = (),
) -> tuple[Parameter, ...]:
    """The parameters with some replaced and some held at given values.

    Raises
    ------
    ValueError
        If a name is unknown; the message names the nearest.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    for parameter in replace:
        if parameter.name not in by_name:
            raise unknown_name("parameter", parameter.name, by_name)
        by_name[parameter.name] = parameter
    for name, value in (fixed or {}).items():
        if name not in by_name:
            raise unknown_name("parameter", name, by_name)
        by_name[name] = dataclasses.replace(by_name[name], value=float(value), vary=False)
    return tuple(by_name.values())
