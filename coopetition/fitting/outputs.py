"""Strengths and losses of simulated states, and their exact changes along tangents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..readout import LOSSES, Key
from ..reduction import ReducedODE

Array = NDArray[np.float64]


class OutputTable:
    """The outputs of a reduced ODE that some curves read, as functions of arrays.

    Parameters
    ----------
    ode
        The reduced ODE, whose outputs are expressions in state and parameters.
    keys
        The curves: accuracies read the strengths, losses their mechanism's loss.
    """

    def __init__(self, ode: ReducedODE, keys: Iterable[Key]) -> None:
        losses = {LOSSES[evaluator] for evaluator, metric in keys if metric == "loss"}
        self.names = tuple(n for n in ode.outputs if n.endswith("_strength") or n in losses)
        expressions = [ode.outputs[name] for name in self.names]
        self._values = _function(ode, expressions)
        self._by_state = _entries(ode, expressions, ode.state)
        self._by_parameter = _entries(ode, expressions, ode.parameters)

    def outputs(self, states: Array, parameters: Array) -> Mapping[str, Array]:
        """Outputs by name, shape ``(…, time)``.

        ``states`` is ``(…, time, state)``; ``parameters`` is ``(parameters,)`` or has the states'
        leading axes, with 1 for time.
        """
        found = self._values(*_columns(states), *_columns(parameters))
        shape = states.shape[:-1]
        return {
            name: np.broadcast_to(value, shape)
            for name, value in zip(self.names, found, strict=True)
        }

    def tangents(
        self, states: Array, tangents: Array, parameters: Array, parameter_tangents: Array
    ) -> Mapping[str, Array]:
        """Changes of the outputs along k directions, shape ``(time, k)`` each.

        ``states`` is ``(time, state)``, ``tangents`` ``(time, state, k)``, ``parameters``
        ``(parameters,)`` and ``parameter_tangents`` ``(parameters, k)``.
        """
        found = {name: np.zeros((len(states), tangents.shape[2])) for name in self.names}
        arguments = (*_columns(states), *_columns(parameters))
        for (row, column), slope in self._by_state(arguments).items():
            found[self.names[row]] += _column(slope) * tangents[:, column, :]
        for (row, column), slope in self._by_parameter(arguments).items():
            if parameter_tangents[column].any():
                found[self.names[row]] += _column(slope) * parameter_tangents[column]
        return found


Entries = Mapping[tuple[int, int], Any]


def _columns(array: Array) -> tuple[Array, ...]:
    return tuple(np.moveaxis(array, -1, 0))


def _column(slope: Any) -> Array:
    return np.asarray(np.atleast_1d(slope))[:, None]


def _function(ode: ReducedODE, expressions: list[sp.Expr]) -> Callable[..., Any]:
    made: Callable[..., Any] = sp.lambdify(
        [*ode.state, *ode.parameters], expressions, modules="numpy", cse=True
    )
    return made


def _entries(
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
