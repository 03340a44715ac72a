"""Checks of an integration's arguments: each returns the checked value or raises `ValueError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..errors import unknown_name
from ..seeds import stream
from .catalogue import get
from .model import Model
from .solver.arithmetic import Arithmetic
from .solver.compilation import CompiledODE, compile_ode
from .starts import Start, random_start

if TYPE_CHECKING:  # sympy is imported only to make code that is not yet cached
    from .reduction import ReducedODE

MAX_STEPS = 100_000
_SMALLEST_STEP = 1e-14  # relative to the span


def declared(model: Model | ReducedODE | str) -> Model | ReducedODE:
    """The model itself, or the catalogue's model of that name."""
    return get(model) if isinstance(model, str) else model


def check_positive(name: str, value: float | None, must: str = "positive") -> None:
    if value is not None and not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be {must}, not {value!r}")


def check_at_least_1(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def checked_span(until: float) -> Array:
    """Start and end time."""
    check_positive("until", until, "a positive time")
    return np.array([0.0, float(until)])


def checked_tolerances(rtol: float, atol: float, max_steps: int) -> Array:
    """rtol, atol, the smallest step relative to the span and the largest number of steps."""
    if not 1e-14 <= rtol < 1:
        raise ValueError(f"rtol must lie in [1e-14, 1), not {rtol!r}")
    check_positive("atol", atol)
    check_at_least_1("max_steps", max_steps)
    return np.array([rtol, atol, _SMALLEST_STEP, float(max_steps)])


def checked_times(times: ArrayLike, until: float) -> Array:
    """Sampling times, increasing, within [0, until]."""
    t = np.array(times, dtype=np.float64, ndmin=1)
    if t.ndim != 1 or len(t) == 0:
        raise ValueError(f"times must be a list of at least one time, not of shape {t.shape}")
    if not np.all(np.isfinite(t)) or np.any(np.diff(t) < 0) or t[0] < 0 or t[-1] > until:
        raise ValueError(f"times must increase within [0, {until:g}]")
    return t


def check_parameter(ode: CompiledODE, name: str, values: ArrayLike) -> Array:
    """One parameter's value or values: known, finite, and of the sign its symbol has."""
    if name not in ode.parameter_names:
        raise unknown_name(f"parameter of {ode.name}", name, ode.parameter_names)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameter {name} must be a number, not {values!r}") from error
    conditions = {"finite": np.isfinite(array)}
    if ode.signs[name] == "positive":
        conditions["positive"] = array > 0
    if ode.signs[name] == "nonnegative":
        conditions["at least 0"] = array >= 0
    for condition, holds in conditions.items():
        if not np.all(holds):
            first = float(array[~holds].flat[0])
            raise ValueError(f"parameter {name} must be {condition}, not {first!r}")
    return array


def fixed_by_start(ode: CompiledODE, start: Start) -> dict[str, float]:
    """The parameters a start fixes; it must have the model's vectors, in their order."""
    common = [name for name in ode.parameter_names if name in start.parameters]
    sizes = [name for name in start.parameters if name.startswith("n_")]
    if len(common) < len(start.parameters) or [n for n in common if n.startswith("n_")] != sizes:
        vectors = ", ".join(name.removeprefix("n_") for name in sizes)
        raise ValueError(
            f"start has the vectors {vectors}, not those of {ode.name}: draw or project it with "
            "the model that is integrated"
        )
    return dict(start.parameters)


def parameter_values(
    ode: CompiledODE, parameters: Mapping[str, float] | None, start: Start | ArrayLike | None
) -> Array:
    """Parameters in the code's order, from the caller, the start and the defaults; ``(p,)``."""
    values = dict(ode.defaults)
    if isinstance(start, Start):
        values.update(fixed_by_start(ode, start))
    for name, value in (parameters or {}).items():
        if np.ndim(value):
            raise ValueError(f"parameter {name} must be a number; integrate_many takes arrays")
        values[name] = float(check_parameter(ode, name, value))
    return np.array([values[name] for name in ode.parameter_names])


def parameter_rows(
    ode: CompiledODE,
    parameters: Mapping[str, ArrayLike] | None,
    starts: Start | Sequence[Start] | ArrayLike | None,
) -> Array:
    """Parameters of each member, shape ``(batch or 1, p)``."""
    columns: dict[str, Array] = {n: np.array([v]) for n, v in ode.defaults.items()}
    fixed = [fixed_by_start(ode, start) for start in _starts(starts)]
    for name in fixed[0] if fixed else ():
        columns[name] = np.array([values[name] for values in fixed])
    for name, values in (parameters or {}).items():
        columns[name] = np.atleast_1d(check_parameter(ode, name, values))
        if columns[name].ndim != 1:
            raise ValueError(f"parameter {name} must be a number or one-dimensional")
    sizes = {name: len(column) for name, column in columns.items() if len(column) != 1}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ValueError(f"batch sizes of parameters differ ({listed}); give equal lengths")
    members = next(iter(sizes.values()), 1)
    return np.stack([np.broadcast_to(columns[n], (members,)) for n in ode.parameter_names], axis=-1)


def _starts(starts: object) -> list[Start]:
    """The caller's `Start` objects; none where the caller gave states."""
    if isinstance(starts, Start):
        return [starts]
    if isinstance(starts, Sequence) and starts and all(isinstance(s, Start) for s in starts):
        return list(starts)
    return []


def start_or_default(model: Model | ReducedODE, start: Any) -> Any:
    """The caller's start, or the model's random start of seed 0."""
    if start is not None:
        return start
    if not isinstance(model, Model):
        raise ValueError(f"start is needed: {model.name} has no vectors to draw one from")
    return random_start(model, stream(0, "start"), description="random, seed 0")


def state_values(ode: CompiledODE, start: Start | ArrayLike) -> Array:
    """The start's state, shape ``(state,)``."""
    if isinstance(start, Start) and len(start.state) == len(ode.state_names):
        return start.state.copy()
    rows = state_rows(ode, start)
    if len(rows) != 1:
        raise ValueError("start must be a single state; integrate_many takes many")
    return np.array(rows[0])


def state_rows(ode: CompiledODE, starts: Start | Sequence[Start] | ArrayLike) -> Array:
    """States of each member, shape ``(batch or 1, state)``."""
    states = [start.state for start in _starts(starts)] or starts
    rows = np.array(states, dtype=np.float64, ndmin=2)
    if rows.ndim != 2 or rows.shape[1] != len(ode.state_names):
        raise ValueError(
            f"start of {ode.name} must have {len(ode.state_names)} numbers "
            f"({', '.join(ode.state_names)}), not shape {rows.shape}"
        )
    if not np.all(np.isfinite(rows)):
        raise ValueError("start must be finite")
    return rows


def dual_arguments(
    model: Model | ReducedODE | str,
    form: str,
    start: tuple[ArrayLike, ArrayLike],
    parameters: tuple[ArrayLike, ArrayLike],
) -> tuple[CompiledODE, Array, Array, int]:
    """The code over dual numbers, start and parameters as dual numbers, and the directions k.

    ``start`` and ``parameters`` are values ``(n,)`` and sensitivities ``(n, k)``; the dual numbers
    have shape ``(n, 1 + k)``, with k rounded up to a multiple of 8, a vector register's length.
    """
    shapes = [np.shape(start[1]), np.shape(parameters[1])]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            "start_sensitivities and parameter_sensitivities must have shapes (state, k) and "
            f"(parameter, k) with the same k, not {shapes[0]} and {shapes[1]}"
        )
    directions = shapes[0][1]
    padded = max(8, -(-directions // 8) * 8)
    ode = compile_ode(declared(model), Arithmetic(directions=padded), form=form)
    y = _dual_numbers("start", *start, len(ode.state_names), padded)
    p = _dual_numbers("parameters", *parameters, len(ode.parameter_names), padded)
    return ode, y, p, directions


def _dual_numbers(
    name: str, values: ArrayLike, sensitivities: ArrayLike, count: int, padded: int
) -> Array:
    """Values and sensitivities as dual numbers, shape ``(count, 1 + padded)``."""
    value = np.asarray(values, dtype=np.float64)
    sensitivity = np.asarray(sensitivities, dtype=np.float64)
    if value.shape != (count,) or len(sensitivity) != count:
        raise ValueError(
            f"{name} must have shape ({count},) and its sensitivities ({count}, k), "
            f"not {value.shape} and {sensitivity.shape}"
        )
    numbers = np.zeros((count, 1 + padded))
    numbers[:, 0] = value
    numbers[:, 1 : 1 + sensitivity.shape[1]] = sensitivity
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} and its sensitivities must be finite")
    return numbers
