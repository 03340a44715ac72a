"""The toy models as theories of a run: from log parameters to accuracy curves, with derivatives.

Vectors that take part in the same strategies and costs are interchangeable and start alike. S_v =
1, y_v = 0 and dimensions that a scaling symmetry makes meaningless are fixed (`gauge`). The readout
is that of `coopetition.dynamics.readout`; gains on flip are multiples of the shared ones, because
runs agree far better on the multiple than on the gain.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...dynamics.catalogue import CATALOGUE, get
from ...dynamics.integration import integrate_many, integrate_sensitivities
from ...dynamics.model import Model
from ...dynamics.readout import ACCURACY, NEEDS, SIGNS, accuracy
from ...dynamics.reduction import in_sequences, reduce
from ...fitting.problem import OutputTable
from ...fitting.symmetry import RATE, gauge
from .theory import Theory, theory_parameters

Array = NDArray[np.float64]

MAX_STEPS = 40_000  # fast relaxation seen to a late horizon takes ten thousands
BATCH_RTOL = 1e-4  # accuracies to about 1e-4, a tenth of the smallest error they are compared with
SLOPE_RTOL = 1e-6
ATOL = 1e-8

# centre, spread, seed_spread, setting_spread, time_scale
_PRIORS: Mapping[str, tuple[float, ...]] = {
    RATE: (1e4, 2.0, 0.2, 0.7, 1.0),
    "n_d": (160.0, 1.0, 0.15, 0.5),
    "alpha": (0.2, 1.5, 0.2, 0.7),
    "mu1": (0.15, 1.0, 0.2, 0.5),
    "mu2": (0.003, 1.5, 0.4, 0.7),
    "x_a": (0.1, 0.7, 0.2, 0.7),
    "x_b": (0.12, 0.7, 0.15, 0.5),
    "x_d": (0.06, 0.7, 0.3, 1.0),
    "gain_icl": (1.5, 0.5, 0.15, 0.5),
    "gain_ciwl": (2.8, 0.5, 0.08, 0.2),
    "flip_factor_ciwl": (1.2, 0.3, 0.1, 0.15),
}
_PRIORS_BY_KIND: Mapping[str, tuple[float, ...]] = {
    "x": (0.1, 0.7, 0.2, 0.7),
    "n": (20.0, 1.0, 0.15, 0.5),
    "gain": (2.0, 0.5, 0.15, 0.5),
    "flip": (1.0, 0.3, 0.1, 0.15),
}
_DECLARED = (0.01, 1.5, 0.3, 0.7)  # floors, weights and decay rates without a prior of their own


class ToyTheory:
    """A declared model as a `Theory`; a `ValueError` if it lacks an icl or a ciwl strategy."""

    def __init__(self, model: Model) -> None:
        if not {"icl", "ciwl"} <= set(model.strategy_names):
            raise ValueError(
                f"model {model.name!r} has strategies {', '.join(model.strategy_names)}: "
                "a forecast needs icl and ciwl"
            )
        self.name = model.name
        self._ode = in_sequences(reduce(model))
        self._strategies = model.strategy_names
        self.evaluators = tuple(e for e, need in NEEDS.items() if need <= set(self._strategies))
        self._table = OutputTable(self._ode, [(e, ACCURACY) for e in self.evaluators])
        fixed_by_gauge = gauge(model, [f"S_{v}" for v in model.vectors])
        moved: dict[str, tuple[str, ...]] = {RATE: (RATE,)}  # what each parameter of θ moves
        groups = interchangeable(model)
        for group in groups:
            free = tuple(f"n_{v}" for v in group if f"n_{v}" not in fixed_by_gauge)
            if free:  # named after one that moves, not after one that the gauge holds
                moved[free[0]] = free
        moved |= {name: (name,) for name in model.parameters}
        moved |= {f"x_{group[0]}": tuple(f"x_{v}" for v in group) for group in groups}
        gains = [f"gain_{s}" for s in self._strategies]
        gains += [f"flip_factor_{s}" for s in self._strategies]
        self.parameters = theory_parameters({n: _prior(n, model) for n in (*moved, *gains)})
        self._gain_at = {name: len(moved) + j for j, name in enumerate(gains)}
        self._simulated = len(moved)
        states, names = self._ode.state_names, self._ode.parameter_names
        self._to_state = _incidence(states, list(moved.values()))
        self._to_parameter = _incidence(names, list(moved.values()))
        fixed = {f"n_{v}": float(size) for v, size in model.dimensions.items()}
        fixed |= {f"S_{v}": 1.0 for v in model.vectors}
        self._fixed = np.array([fixed.get(name, 0.0) for name in names])
        self._fixed[self._to_parameter.any(axis=1)] = 0.0

    def _system(self, thetas: Array) -> tuple[Array, Array]:
        """Starts ``(…, state)`` and parameters ``(…, p)`` at θ of shape ``(…, k)``."""
        values = np.exp(np.clip(thetas[..., : self._simulated], -60.0, 60.0))
        return values @ self._to_state.T, values @ self._to_parameter.T + self._fixed

    def _gains(self, thetas: Array) -> dict[str, dict[str, Array]]:
        """Logit per strength of each strategy, shape ``(…,)``, by evaluator."""
        logs = {s: thetas[..., self._gain_at[f"gain_{s}"]] for s in self._strategies}
        factors = {s: thetas[..., self._gain_at[f"flip_factor_{s}"]] for s in self._strategies}
        gains = {s: np.exp(log) for s, log in logs.items()}
        on_flip = {s: np.exp(log + factors[s]) for s, log in logs.items()}
        return {e: on_flip if e == "flip" else gains for e in self.evaluators}

    def _by_strategy(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The strengths among the outputs, or their changes, by strategy."""
        return {s: outputs[f"{s}_strength"] for s in self._strategies}

    def curves(self, thetas: Array, times: Array) -> Mapping[str, Array]:
        """Accuracies of many parameter sets, see `Theory.curves`."""
        start, p = self._system(thetas)
        run = integrate_many(
            self._ode,
            parameters={name: p[:, j] for j, name in enumerate(self._ode.parameter_names)},
            starts=start,
            until=float(times[-1]),
            times=times,
            rtol=BATCH_RTOL,
            atol=ATOL,
            max_steps=MAX_STEPS,
        )
        strengths = self._by_strategy(self._table.outputs(run.states, p[:, None, :]))
        gains = self._gains(thetas[:, None, :])
        return {e: accuracy(SIGNS[e], gains[e], strengths).value for e in self.evaluators}

    def slopes(self, theta: Array, times: Array) -> Mapping[str, tuple[Array, Array]] | None:
        """Accuracies and exact derivatives of one parameter set, see `Theory.slopes`."""
        start, p = self._system(theta)
        values = np.exp(np.clip(theta[: self._simulated], -60.0, 60.0))
        dp = self._to_parameter * values
        run = integrate_sensitivities(
            self._ode,
            times=times,
            start=start,
            start_sensitivities=self._to_state * values,
            parameters=p,
            parameter_sensitivities=dp,
            rtol=SLOPE_RTOL,
            atol=ATOL,
            max_steps=MAX_STEPS,
        )
        if not run.status.ok or not np.all(np.isfinite(run.sensitivities)):
            return None
        strengths = self._by_strategy(self._table.outputs(run.states, p))
        changes = self._by_strategy(self._table.sensitivities(run.states, run.sensitivities, p, dp))
        slopes = {}
        for evaluator, gains in self._gains(theta).items():
            reading = accuracy(SIGNS[evaluator], gains, strengths)
            slope = np.zeros((len(times), len(theta)))  # of the logit, then of the accuracy
            for s, weight in reading.weights.items():
                slope[:, : self._simulated] += weight * changes[s]
                by_log_gain = weight * strengths[s]
                slope[:, self._gain_at[f"gain_{s}"]] = by_log_gain
                if evaluator == "flip":
                    slope[:, self._gain_at[f"flip_factor_{s}"]] = by_log_gain
            slope *= reading.slope[:, None]
            slopes[evaluator] = (reading.value, slope)
        return slopes


@functools.cache
def toy_theory(name: str) -> ToyTheory:
    """The catalogue's model of that name as a theory; made once.

    Examples
    --------
    >>> len(toy_theory("coopetition").parameters)
    12
    """
    return ToyTheory(get(name))


def as_theory(theory: Theory | Model | str) -> Theory | str:
    """A declared model as a theory, or as its name in the catalogue; others as they are."""
    if not isinstance(theory, Model):
        return theory
    return theory.name if CATALOGUE.get(theory.name) == theory else ToyTheory(theory)


def interchangeable(model: Model) -> tuple[tuple[str, ...], ...]:
    """Groups of vectors that appear in the same strategies, costs and decay terms."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for v in model.vectors:
        used = [part.factors for part in model.strategies] + [cost.factors for cost in model.costs]
        roles = tuple(v in factors for factors in used)
        groups.setdefault((*roles, model.decay.get(v)), []).append(v)
    return tuple(map(tuple, groups.values()))


def _prior(name: str, model: Model) -> tuple[float, ...]:
    """What is known of a parameter before any run."""
    if name in _PRIORS:
        return _PRIORS[name]
    return _DECLARED if name in model.parameters else _PRIORS_BY_KIND[name.split("_")[0]]


def _incidence(rows: tuple[str, ...], columns: list[tuple[str, ...]]) -> Array:
    """1 where a row is among a column's names, shape ``(rows, columns)``."""
    return np.array([[float(row in column) for column in columns] for row in rows])
