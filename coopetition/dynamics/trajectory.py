"""The result of an integration: states against time, and how it ended."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array, ReadOnlyArrays
from ..errors import IntegrationError, unknown_name
from .solver import loop
from .solver.compilation import CompiledODE


class Status(enum.IntEnum):
    """How a trajectory ended; `ok` tells success from failure."""

    REACHED = loop.REACHED
    STEP_UNDERFLOW = loop.STEP_UNDERFLOW
    NOT_FINITE = loop.NOT_FINITE
    TOO_MANY_STEPS = loop.TOO_MANY_STEPS
    STOPPED = 4

    @property
    def ok(self) -> bool:
        """Whether the horizon or the stopping condition was reached."""
        return self in (Status.REACHED, Status.STOPPED)

    @property
    def explanation(self) -> str:
        """What happened and what to do about it."""
        return {
            Status.REACHED: "reached the horizon",
            Status.STOPPED: "met the stopping condition",
            Status.STEP_UNDERFLOW: (
                "the step size shrank to nothing: the system is stiff or has a singularity; "
                "try method='lsoda' or a larger rtol"
            ),
            Status.NOT_FINITE: (
                "the state left the finite numbers: for descent take a smaller step size, for a "
                "flow check the parameters"
            ),
            Status.TOO_MANY_STEPS: (
                "the step limit was used up: raise max_steps, or try method='lsoda' if stiff"
            ),
        }[self]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory(ReadOnlyArrays):
    """One trajectory of a model.

    Parameters
    ----------
    ode
        The compiled system.
    method
        ``dopri5``, ``lsoda``, ``radau`` or ``descent``.
    parameters
        Every parameter's value, by name.
    times, states
        Shapes ``(time,)`` and ``(time, state)``; times of descent are step size × step.
    status, steps
        How it ended, and the steps taken.
    horizon, reached
        The requested end, and the time at which the integration ended, sampled or not.
    stopped_at
        Time (for descent the step) at which the loss fell below ``stop_below``, or None.
    interpolant
        The method's own continuous solution, from times ``(…,)`` to states ``(…, state)``; None
        for samples.
    notes
        Remarks, a sentence each, such as that another method had to be used.
    """

    ode: CompiledODE = dataclasses.field(repr=False)
    method: str
    parameters: Mapping[str, float]
    times: Array
    states: Array = dataclasses.field(repr=False)
    status: Status
    horizon: float
    reached: float
    steps: int
    stopped_at: float | None = None
    interpolant: Callable[[Array], Array] | None = dataclasses.field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model's name."""
        return self.ode.name

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the columns of ``states``."""
        return self.ode.state_names

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, in the order of `strengths`."""
        suffix = "_strength"
        return tuple(n[: -len(suffix)] for n in self.ode.output_names if n.endswith(suffix))

    @functools.cached_property
    def outputs(self) -> Mapping[str, Array]:
        """Losses (total and by strategy, without floors), cost and strengths, ``(time,)`` each."""
        return self.outputs_of(self.states)

    @property
    def strengths(self) -> Array:
        """Normalised overlap Π x_v/√S_v of each strategy, shape ``(time, strategy)``."""
        return np.stack([self.outputs[f"{name}_strength"] for name in self.strategies], axis=-1)

    def outputs_of(self, states: ArrayLike) -> dict[str, Array]:
        """The outputs of any states ``(…, state)`` under this trajectory's parameters."""
        p = np.array([self.parameters[name] for name in self.ode.parameter_names])
        array = np.ascontiguousarray(states, dtype=np.float64)
        rows = array.reshape(-1, len(self.state_names))
        table = np.empty((len(rows), len(self.ode.output_names)))
        self.ode.functions["outputs"](
            len(rows), rows.ctypes.data, p.ctypes.data, 0, table.ctypes.data
        )
        table.flags.writeable = False
        shape = array.shape[:-1]
        return {name: table[:, k].reshape(shape) for k, name in enumerate(self.ode.output_names)}

    def __call__(self, times: ArrayLike) -> Array:
        """States ``(…, state)`` at times ``(…,)``, by the method's own interpolant.

        Raises `ValueError` if a time lies outside the trajectory, or it holds samples only.
        """
        if self.interpolant is None:
            raise ValueError(
                "this trajectory holds samples only; integrate without `times` to evaluate anywhere"
            )
        t = np.asarray(times, dtype=np.float64)
        first, last = self.times[0], self.times[-1]
        if np.any((t < first) | (t > last)) or not np.all(np.isfinite(t)):
            raise ValueError(f"times must lie within [{first:g}, {last:g}]")
        if len(self.times) == 1:
            return np.tile(self.states[0], (*t.shape, 1))
        return self.interpolant(t)

    def columns(self) -> dict[str, Array]:
        """Times, losses without floors, cost and strengths as the columns of a table."""
        names = ("total", *self.strategies, "cost", *(f"{s}_strength" for s in self.strategies))
        return {"time": self.times, **{name: self.outputs[name] for name in names}}

    def as_dict(self) -> dict[str, Any]:
        """The end of the trajectory and what led to it, for JSON."""
        last = {name: float(values[-1]) for name, values in self.columns().items()}
        return {
            "model": self.model,
            "parameters": dict(self.parameters),
            "method": self.method,
            "outcome": self.status.name.lower(),
            "stopped_at": self.stopped_at,
            "final": {name: last[name] for name in ("total", *self.strategies, "cost")},
            "final_strengths": {name: last[f"{name}_strength"] for name in self.strategies},
            "horizon": last["time"],
            "steps": self.steps,
            "notes": list(self.notes),
        }

    def output(self, name: str) -> Array:
        """One of the outputs by name, shape ``(time,)``."""
        if name not in self.outputs:
            raise unknown_name("output", name, self.outputs)
        return self.outputs[name]

    def require(self) -> Trajectory:
        """The trajectory itself if its status is ok.

        Otherwise raises `IntegrationError`, which says what happened and the remedy.
        """
        if not self.status.ok:
            raise IntegrationError(
                f"{self.ode.name}: {self.method} ended at time {self.reached:g} of "
                f"{self.horizon:g}: {self.status.explanation}"
            )
        return self

    def summary(self) -> str:
        """A few lines of text: method, end, final losses and strengths."""
        final = {name: values[-1] for name, values in self.outputs.items() if len(values)}
        return "\n".join((
            f"{self.ode.name} by {self.method}: {self.status.explanation} at time "
            f"{self.reached:g} after {self.steps} steps",
            *(f"  {name} = {value:.6g}" for name, value in final.items()),
            *(f"  note: {note}" for note in self.notes),
        ))  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trajectories(ReadOnlyArrays):
    """Many trajectories of one model, sampled at common times.

    Parameters
    ----------
    ode
        The compiled system.
    times, states
        Shapes ``(time,)`` and ``(batch, time, state)``; states are NaN from a member's failure on.
    parameters
        Shape ``(batch, parameter)``, columns named by ``ode.parameter_names``.
    statuses, reached, steps
        How each member ended (a `Status`), the time it reached and its steps, shape ``(batch,)``.
    """

    ode: CompiledODE = dataclasses.field(repr=False)
    times: Array
    states: Array = dataclasses.field(repr=False)
    parameters: Array = dataclasses.field(repr=False)
    statuses: NDArray[np.int64]
    reached: Array
    steps: NDArray[np.int64]

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which members reached the horizon, shape ``(batch,)``."""
        reached: NDArray[np.bool_] = self.statuses == Status.REACHED
        return reached

    @functools.cached_property
    def outputs(self) -> Mapping[str, Array]:
        """Losses, cost and strengths, shape ``(batch, time)`` each."""
        members, times, _ = self.states.shape
        result = np.empty((members, times, len(self.ode.output_names)))
        for states, parameters, rows in zip(self.states, self.parameters, result, strict=True):
            self.ode.functions["outputs"](
                times, states.ctypes.data, parameters.ctypes.data, 0, rows.ctypes.data
            )
        result.flags.writeable = False
        return {name: result[..., k] for k, name in enumerate(self.ode.output_names)}

    def summary(self) -> str:
        """How many members ended in each way."""
        counts = {status: int(np.sum(self.statuses == status)) for status in Status}
        parts = (f"{count} {status.explanation}" for status, count in counts.items() if count)
        return f"{self.ode.name}: {len(self.statuses)} trajectories: " + "; ".join(parts)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SensitivityTrajectory(ReadOnlyArrays):
    """A sampled trajectory with exact directional derivatives; NaN from a failure on."""

    times: Array  # (time,)
    states: Array = dataclasses.field(repr=False)  # (time, state)
    sensitivities: Array = dataclasses.field(repr=False)  # (time, state, direction)
    status: Status
    steps: int
