"""A model and the measurements of one run as a least-squares problem with exact derivatives."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..dynamics.integration import integrate_many, integrate_sensitivities
from ..dynamics.model import Model
from ..dynamics.readout import (
    LOSSES,
    READOUT_FIELDS,
    SEPARATE_FLIP,
    SHARED_FLIP,
    Key,
    Readout,
    read,
)
from ..dynamics.reduction import ReducedODE, in_sequences, reduce
from .measurements import Measurements
from .parameters import FitSettings, Parameter, adjust, box
from .symmetry import RATE

Array = NDArray[np.float64]
Entries = Mapping[tuple[int, int], Any]

PENALTY = 1e3  # standardised residual of a simulation that failed: far above any that did not
SCREEN_TIMES = 48  # grid points simulated for a start that is only screened
SCREEN_BATCH = 1024  # screened at once, to bound memory
SCREEN_RTOL = 1e-4
BEYOND_LOG = 10.0  # times as many steps for each length of the log that is predicted beyond it

READOUT_ONLY = READOUT_FIELDS - {RATE}  # the rate is a parameter of the ODE in sequences


class OutputTable:
    """The outputs of a reduced ODE that curves are read from, and their exact derivatives."""

    def __init__(self, ode: ReducedODE, keys: Iterable[Key]) -> None:
        losses = {LOSSES[evaluator] for evaluator, metric in keys if metric == "loss"}
        self.names = tuple(n for n in ode.outputs if n.endswith("_strength") or n in losses)
        expressions = [ode.outputs[name] for name in self.names]
        self._values = _function(ode, expressions)
        self._by_state = _derivatives(ode, expressions, ode.state)
        self._by_parameter = _derivatives(ode, expressions, ode.parameters)

    def outputs(self, states: Array, parameters: Array) -> Mapping[str, Array]:
        """Outputs by name, ``(…, time)``; states ``(…, time, state)``, parameters broadcast."""
        values = self._values(*_columns(states), *_columns(parameters))
        arrays = (np.broadcast_to(value, states.shape[:-1]) for value in values)
        return dict(zip(self.names, arrays, strict=True))

    def sensitivities(
        self, states: Array, sensitivities: Array, parameters: Array, parameter_sensitivities: Array
    ) -> Mapping[str, Array]:
        """Outputs' derivatives ``(time, k)`` from the states' ``(time, state, k)``, by name."""
        changes = {name: np.zeros((len(states), sensitivities.shape[2])) for name in self.names}
        arguments = (*_columns(states), *_columns(parameters))
        for (row, column), slope in self._by_state(arguments).items():
            changes[self.names[row]] += _column(slope) * sensitivities[:, column, :]
        for (row, column), slope in self._by_parameter(arguments).items():
            if parameter_sensitivities[column].any():
                changes[self.names[row]] += _column(slope) * parameter_sensitivities[column]
        return changes


def _columns(array: Array) -> tuple[Array, ...]:
    return tuple(np.moveaxis(array, -1, 0))


def _column(slope: Any) -> Array:
    return np.asarray(np.atleast_1d(slope))[:, None]


def _function(ode: ReducedODE, expressions: list[sp.Expr]) -> Callable[..., Any]:
    function: Callable[..., Any] = sp.lambdify(
        [*ode.state, *ode.parameters], expressions, modules="numpy", cse=True
    )
    return function


def _derivatives(
    ode: ReducedODE, expressions: list[sp.Expr], symbols: Iterable[sp.Symbol]
) -> Callable[[tuple[Array, ...]], Entries]:
    """The derivatives that are not identically zero, by (expression, symbol)."""
    derivatives = {
        (i, j): derivative
        for i, expression in enumerate(expressions)
        for j, symbol in enumerate(symbols)
        if (derivative := sp.diff(expression, symbol)) != 0
    }
    function = _function(ode, list(derivatives.values()))
    return lambda arguments: dict(zip(derivatives, function(*arguments), strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Residuals (predicted − measured)/σ ``(n,)``, or `PENALTY`, and their Jacobian ``(n, k)``."""

    residuals: Array
    jacobian: Array
    failed: bool


class Problem:
    """Residuals, costs and curves as functions of θ, the free parameters in order, ``(k,)``."""

    def __init__(
        self,
        model: Model,
        parameters: Sequence[Parameter],
        measurements: Measurements,
        settings: FitSettings,
    ) -> None:
        self.model, self.settings, self.measurements = model, settings, measurements
        self.ode = in_sequences(reduce(model))
        self.table = OutputTable(self.ode, measurements.keys)
        self._take(tuple(parameters))

    def _take(self, parameters: tuple[Parameter, ...]) -> None:
        self.parameters = parameters
        self.free = tuple(p for p in parameters if p.vary)
        self.lower, self.upper = box(self.free)
        self._held = {p.name: p.value for p in parameters}

    def holding(self, name: str, value: float) -> Problem:
        """The same problem with one free parameter held at a value."""
        other = copy.copy(self)
        other._take(adjust(self.parameters, fixed={name: value}))
        return other

    def values(self, theta: Array) -> dict[str, float]:
        """All parameters by name at θ."""
        pairs = zip(self.free, theta, strict=True)
        return self._held | {p.name: p.to_external(float(v)) for p, v in pairs}

    def theta(self, values: Mapping[str, float]) -> Array:
        """θ of parameter values by name."""
        return np.array([p.to_internal(values[p.name]) for p in self.free])

    def readout(self, values: Mapping[str, float]) -> Readout:
        """The readout at parameter values."""
        own = {name: value for name, value in values.items() if name in READOUT_FIELDS}
        return dataclasses.replace(readout_form(self.settings), **own)

    def evaluate(self, theta: Array) -> Evaluation:
        """Residuals and Jacobian at θ, from one simulation with sensitivities."""
        n, k = self.measurements.count, len(self.free)
        failed = Evaluation(residuals=np.full(n, PENALTY), jacobian=np.zeros((n, k)), failed=True)
        values = self.values(theta)
        p = np.array([values[name] for name in self.ode.parameter_names])
        # dθ_j moves x by x dθ_j on a log scale
        step = np.array([values[q.name] if q.scale == "log" else 1.0 for q in self.free])
        names = [q.name for q in self.free]
        simulated = [j for j, name in enumerate(names) if name not in READOUT_ONLY]
        moved = [names[j] for j in simulated]
        dstart = _unit_columns(self.ode.state_names, moved) * step[simulated]
        dp = _unit_columns(self.ode.parameter_names, moved) * step[simulated]
        run = integrate_sensitivities(
            self.ode,
            times=self.measurements.sequences - self.measurements.origin,
            start=np.array([values[name] for name in self.ode.state_names]),
            start_sensitivities=dstart,
            parameters=p,
            parameter_sensitivities=dp,
            rtol=self.settings.rtol,
            atol=self.settings.atol,
            max_steps=self.settings.max_steps,
        )
        if not run.status.ok or not np.all(np.isfinite(run.sensitivities)):
            return failed
        outputs = self.table.outputs(run.states, p)
        changes = self.table.sensitivities(run.states, run.sensitivities, p, dp)
        readout = self.readout(values)
        residuals, jacobian = np.empty(n), np.zeros((n, k))
        row = 0
        for target in self.measurements.targets:
            reading = read(target.key, outputs, self.model.strategy_names, readout)
            rows = slice(row, row + len(target))
            residuals[rows] = (reading.value[target.at] - target.values) / target.sigma
            for name, slope in reading.by_output.items():
                jacobian[rows, simulated] += (slope[:, None] * changes[name])[target.at]
            for name, slope in reading.by_parameter.items():
                if name in names:
                    j = names.index(name)
                    jacobian[rows, j] += slope[target.at] * step[j]
            jacobian[rows] /= target.sigma[:, None]
            row = rows.stop
        if not (np.all(np.isfinite(residuals)) and np.all(np.isfinite(jacobian))):
            return failed
        return Evaluation(residuals=residuals, jacobian=jacobian, failed=False)

    def predict(
        self, thetas: Array, sequences: Array, keys: Sequence[Key], *, rtol: float | None = None
    ) -> dict[Key, Array]:
        """Curves ``(batch, times)`` of thetas ``(batch, k)``; NaN where a simulation failed."""
        outputs = self.outputs(thetas, sequences, rtol=rtol)
        curves: dict[Key, list[Array]] = {key: [] for key in keys}
        for member, theta in enumerate(thetas):
            own = {name: array[member] for name, array in outputs.items()}
            readout = self.readout(self.values(theta))
            for key in keys:
                curves[key].append(read(key, own, self.model.strategy_names, readout).value)
        return {key: np.array(rows) for key, rows in curves.items()}

    def outputs(
        self, thetas: Array, sequences: Array, *, rtol: float | None = None
    ) -> Mapping[str, Array]:
        """Strengths (and fitted losses) ``(batch, times)``; NaN where a simulation failed."""
        origin = self.measurements.origin
        if sequences[0] < origin:
            raise ValueError(
                f"sequences = {sequences[0]:,.0f}, …: the run began at {origin:,.0f}; begin there "
                "or later"
            )
        times = np.asarray(sequences, dtype=np.float64) - origin
        columns = [self.values(theta) for theta in thetas]
        stretch = float(times[-1]) / self.measurements.duration - 1.0
        starts = np.array([[c[name] for name in self.ode.state_names] for c in columns])
        p = np.array([[c[name] for name in self.ode.parameter_names] for c in columns])
        run = integrate_many(
            self.ode,
            parameters={name: p[:, j] for j, name in enumerate(self.ode.parameter_names)},
            starts=starts,
            # where only the start is asked for, any horizon serves
            until=float(times[-1]) or self.measurements.duration,
            times=times,
            rtol=rtol or self.settings.rtol,
            atol=self.settings.atol,
            max_steps=int(self.settings.max_steps * max(1.0, BEYOND_LOG * stretch)),
        )
        return self.table.outputs(run.states, p[:, None, :])

    def costs(self, thetas: Array, *, coarse: bool = False) -> Array:
        """χ², ``(batch,)``, of thetas ``(batch, k)``; ``coarse`` interpolates `SCREEN_TIMES`."""
        grid = self.measurements.sequences
        times, rtol = grid, None
        if coarse:
            at = np.linspace(0, len(grid) - 1, min(SCREEN_TIMES, len(grid))).round()
            times, rtol = grid[np.unique(at.astype(np.intp))], SCREEN_RTOL
        total = np.zeros(len(thetas))
        for first in range(0, len(thetas), SCREEN_BATCH):
            block = slice(first, first + SCREEN_BATCH)
            curves = self.predict(thetas[block], times, self.measurements.keys, rtol=rtol)
            for target in self.measurements.targets:
                # the matrix that interpolates linearly, shape (times, points)
                rows = (np.interp(grid[target.at], times, row) for row in np.eye(len(times)))
                between = np.array(list(rows))
                misfit = (curves[target.key] @ between - target.values) / target.sigma
                misfit = np.where(np.isfinite(misfit), misfit, PENALTY)
                total[block] += np.sum(misfit**2, axis=1)
        return total


def readout_form(settings: FitSettings) -> Readout:
    """The readout whose gains are fitted: one pair, or another for flip."""
    return SEPARATE_FLIP if settings.separate_flip else SHARED_FLIP


def _unit_columns(rows: Sequence[str], columns: Sequence[str]) -> Array:
    """1 where a column's name is the row's, shape ``(rows, columns)``."""
    entries = [[float(r == c) for c in columns] for r in rows]
    return np.array(entries).reshape(len(rows), len(columns))
