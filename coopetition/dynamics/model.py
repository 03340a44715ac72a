"""How a toy model is declared: strategies that share vectors, a capacity cost, weight decay.

Each *vector* v (a sub-circuit) has a dimension n_v and a target v*; a *strategy* i succeeds as the
outer product of its factors approaches that of their targets; strategies that share factors
cooperate, those with factors in a common cost compete. With ⟨·⟩ the mean over a tensor's entries,

    L_i = ½⟨(⊗_{v ∈ i} v* − ⊗_{v ∈ i} v)²⟩                 a strategy's loss
    K_j = ½⟨(⊗_{v ∈ j} v)²⟩                                 a cost
    L   = Π_i (L_i + floor_i) + Σ_j weight_j K_j + ½ Σ_v decay_v |v|²

and the parameters follow v ← v − η ∂L/∂v. For two strategies with factors (a, b, c) and (d, b, c)
this is the toy model of arXiv 2503.05631, section 6.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import keyword
import math
import numbers
from collections.abc import Mapping
from typing import Any

from ..arrays import ReadOnlyMapping
from ..errors import ModelError, unknown_name
from .readout import READOUT_FIELDS


def _require_name(what: str, name: str) -> str:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ModelError(f"{what} must be a name of letters, digits and _, not {name!r}")
    return name


def _python_number(value: Any) -> Any:
    """A numpy number as a Python one, for JSON; anything else as it is."""
    return value.item() if isinstance(value, numbers.Number) and hasattr(value, "item") else value


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A way of solving the task: a product of sub-circuits.

    Parameters
    ----------
    name
        ``icl``, ``ciwl``, ``iwl`` have evaluators of their own; other names are allowed.
    factors
        The vectors whose outer product has to reach that of their targets.
    floor
        The parameter μ_i, the loss that perfect sub-circuits leave; None for 0.
    """

    name: str
    factors: tuple[str, ...]
    floor: str | None = None


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of vectors that compete for capacity: weight · ½⟨(⊗ factors)²⟩."""

    factors: tuple[str, ...]
    weight: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A declared toy model.

    Parameters
    ----------
    name
        One word.
    strategies
        One or more; their losses multiply, so that any one can solve the task.
    dimensions
        The dimension n_v ≥ 1 of each vector; 1/n_v is the learning rate of sub-circuit v.
    parameters
        The default of every floor, cost weight and decay rate; none may be negative.
    costs
        Costs of capacity.
    decay
        The decay-rate parameter of each decaying vector.
    description, reference
        A line for the catalogue, and the model's source.

    Raises
    ------
    ModelError
        If the declaration contradicts itself.

    Examples
    --------
    >>> Model(
    ...     name="pair",
    ...     strategies=(Strategy("icl", ("a", "b"), floor="mu"),),
    ...     dimensions={"a": 10, "b": 30},
    ...     parameters={"mu": 0.05},
    ... ).vectors
    ('a', 'b')
    """

    name: str
    strategies: tuple[Strategy, ...]
    dimensions: Mapping[str, int]
    parameters: Mapping[str, float] = dataclasses.field(default_factory=dict)
    costs: tuple[Cost, ...] = ()
    decay: Mapping[str, str] = dataclasses.field(default_factory=dict)
    description: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategies", tuple(self.strategies))
        object.__setattr__(self, "costs", tuple(self.costs))
        for field in ("dimensions", "parameters", "decay"):
            own = {name: _python_number(value) for name, value in getattr(self, field).items()}
            object.__setattr__(self, field, ReadOnlyMapping(own))
        _require_name("a model's name", self.name.replace("-", "_"))
        self._validate_vectors()
        self._validate_strategies()
        self._validate_parameters()

    def _validate_vectors(self) -> None:
        for vector, dimension in self.dimensions.items():
            _require_name("a vector", vector)
            if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
                raise ModelError(
                    f"dimension of vector {vector!r} must be an integer of at least 1, "
                    f"not {dimension!r}"
                )
            if not any(vector in strategy.factors for strategy in self.strategies):
                raise ModelError(
                    f"vector {vector!r} of model {self.name!r} belongs to no strategy: "
                    "remove it from dimensions or make it a factor"
                )
        used = {v for factors in self._products for v in factors}
        for vector in sorted({*used, *self.decay} - set(self.dimensions)):
            raise ModelError(
                f"model {self.name!r}: {unknown_name('factor', vector, self.dimensions)}; "
                "give it a dimension or correct the name"
            )

    def _validate_strategies(self) -> None:
        if not self.strategies:
            raise ModelError(f"model {self.name!r} has no strategy; declare at least one")
        names = [_require_name("a strategy's name", s.name) for s in self.strategies]
        reserved = {"total", "cost", "decay", "time", *(f"{name}_strength" for name in names)}
        for name in names:
            if names.count(name) > 1:
                raise ModelError(f"strategy {name!r} is declared twice; names must differ")
            if name in reserved:
                raise ModelError(f"a strategy cannot be called {name!r}: outputs use that name")
        for factors in self._products:
            if not factors or len(set(factors)) < len(factors):
                raise ModelError(
                    f"factors {factors!r} of model {self.name!r} must be distinct vectors, "
                    "at least one"
                )

    def _validate_parameters(self) -> None:
        used = [s.floor for s in self.strategies if s.floor is not None]
        used += [cost.weight for cost in self.costs] + list(self.decay.values())
        for name in used:
            if name not in self.parameters:
                raise ModelError(
                    f"parameter {name!r} of model {self.name!r} has no default; "
                    f"add it to parameters: {{{name!r}: …}}"
                )
        derived = [f"{kind}_{v}" for v in self.dimensions for kind in ("n", "S", "x", "y")]
        reserved = {
            "eta": "the step size",
            **dict.fromkeys(derived, "a derived symbol"),
            **dict.fromkeys(READOUT_FIELDS, "one of the readout, which a fit knows by that name"),
        }
        for name, value in self.parameters.items():
            _require_name("a parameter", name)
            if name in reserved:
                raise ModelError(f"parameter {name!r} collides with {reserved[name]}; rename it")
            if name not in used:
                raise ModelError(f"parameter {name!r} of model {self.name!r} is used by no term")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise ModelError(
                    f"parameter {name!r} must be a finite number of at least 0, not {value!r}"
                )

    @property
    def _products(self) -> tuple[tuple[str, ...], ...]:
        """The factors of every strategy and cost."""
        return (*(s.factors for s in self.strategies), *(c.factors for c in self.costs))

    @property
    def vectors(self) -> tuple[str, ...]:
        """The vectors' names in the order of their declaration."""
        return tuple(self.dimensions)

    @property
    def strategy_names(self) -> tuple[str, ...]:
        """The strategies' names in the order of their declaration."""
        return tuple(strategy.name for strategy in self.strategies)

    @property
    def defaults(self) -> dict[str, float]:
        """Every parameter's default: the declared ones, n_v and S_v (1, as for normal targets)."""
        return {
            **self.parameters,
            **{f"n_{v}": float(size) for v, size in self.dimensions.items()},
            **{f"S_{v}": 1.0 for v in self.vectors},
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the equations, which defaults do not."""
        structure = {
            "strategies": [(s.name, s.factors, s.floor) for s in self.strategies],
            "costs": [(c.factors, c.weight) for c in self.costs],
            "vectors": self.vectors,
            "parameters": list(self.parameters),
            "decay": dict(self.decay),
        }
        return hashlib.sha256(json.dumps(structure, sort_keys=True).encode()).hexdigest()
