"""Equilibria of a system: where f(y) = 0, how stable they are, and what a run resting there shows.

Roots are found by Newton's method from many starts (`newton`), and by sympy where it solves the
system; eigenvalues of the Jacobian say what becomes of deviations from them.

Reference: Strogatz, Nonlinear Dynamics and Chaos (2015), chapters 2, 3 and 6.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from ..arrays import ReadOnlyArrays, ReadOnlyMapping
from ..curves.verdicts import verdict_at_rest
from .arguments import check_positive, declared, parameter_values
from .model import Model
from .newton import SAME, ZERO, NewtonSystem, distinct, sobol_starts
from .readout import ACCURACY, SHARED_FLIP, Readout, is_predicted, read
from .reduction import ReducedODE, reduce
from .solver.compilation import compile_ode

Floats = NDArray[np.float64]

_SPREAD = 8.0  # far starts lie at sinh(8 u)/8 of the box, to 186 times its half width
_NEARLY = 100  # times what counts as zero: an eigenvalue that shows a junction of continua near
_SYMBOLIC_STATES = 3  # most states of a system that sympy is asked to solve
_SOLVE = (
    "import pickle, sys, sympy; equations, states = pickle.load(sys.stdin.buffer); "
    "pickle.dump(sympy.solve(equations, states, dict=True), sys.stdout.buffer)"
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Equilibrium(ReadOnlyArrays):
    """A state at rest.

    Parameters
    ----------
    state
        Each state's value, by name.
    residual
        Largest |dy/dt| there.
    eigenvalues
        Of the Jacobian, complex, by falling real part; shape ``(state,)``.
    index
        How many of them have a positive real part: the directions in which it is left.
    dimension
        Of the continuum of equilibria it lies on; 0 if it is isolated.
    type
        ``stable node``, ``stable focus``, ``saddle of index k``, ``unstable node``, ``unstable
        focus``, ``centre`` (purely imaginary eigenvalues) or ``degenerate`` (zero eigenvalues that
        no continuum accounts for: the linear part does not decide). On a continuum, across it.
    loss
        What a gradient flow descends; None for other systems.
    strengths
        Of each strategy, by name.
    verdict
        What becomes of ICL in a run that comes to rest here; None without a flip accuracy.
    closed_form
        The state in symbols, by name, where sympy found it; a state that is its own value is free.
    """

    state: Mapping[str, float]
    residual: float
    eigenvalues: NDArray[np.complex128]
    index: int
    dimension: int
    type: str
    loss: float | None
    strengths: Mapping[str, float]
    verdict: str | None
    closed_form: Mapping[str, sp.Expr] | None

    @property
    def leading(self) -> complex:
        """The eigenvalue of the largest real part across the continuum, or of all if isolated.

        It is the rate at which a saddle is left, or at which deviations die out last.
        """
        across = sorted(self.eigenvalues, key=abs)[self.dimension :]
        return complex(max(across, key=lambda value: value.real, default=0.0))

    def as_dict(self) -> dict[str, Any]:
        """Its plain values, as ``coopetition equilibria --json`` prints them."""
        form = self.closed_form
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "state": dict(self.state),
            "strengths": dict(self.strengths),
            "eigenvalues": [[float(e.real), float(e.imag)] for e in self.eigenvalues],
            "closed_form": None if form is None else {n: str(e) for n, e in form.items()},
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Equilibria:
    """The equilibria of a system, by rising loss, or index where there is no loss.

    Parameters
    ----------
    model
        The system's name.
    parameters
        Every parameter's value.
    equilibria
        Isolated ones, and one of each continuum.
    starts, converged
        How many starts there were, and how many of them led to an equilibrium.
    """

    model: str
    parameters: Mapping[str, float]
    equilibria: tuple[Equilibrium, ...]
    starts: int
    converged: int

    @property
    def manifolds(self) -> tuple[Equilibrium, ...]:
        """One equilibrium of each continuum."""
        return tuple(e for e in self.equilibria if e.dimension)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``coopetition equilibria --json`` prints them."""
        return {
            "model": self.model,
            "parameters": dict(self.parameters),
            "equilibria": [e.as_dict() for e in self.equilibria],
            "manifolds": [
                {"dimension": e.dimension, "equilibrium": k, "state": dict(e.state)}
                for k, e in enumerate(self.equilibria)
                if e.dimension
            ],
            "starts": self.starts,
            "converged": self.converged,
        }

    def summary(self) -> str:
        """A table of the equilibria, and how they were searched for."""
        found = f"{self.converged} of {self.starts} starts converged"
        if not self.equilibria:
            return f"{self.model}: no equilibrium ({found})"
        first = self.equilibria[0]
        names = [*first.state, *(f"{s} strength" for s in first.strengths)]
        rows = [["type", "continuum", "eigenvalue", "loss", "verdict", *names]]
        for e in self.equilibria:
            growth = e.leading
            imaginary = f" ± {abs(growth.imag):.3g}i" if growth.imag else ""
            loss = "–" if e.loss is None else f"{round(e.loss, 12):.5g}"
            about = f"{e.dimension}-dim." if e.dimension else "–"
            values = [f"{v:.4g}" for v in (*e.state.values(), *e.strengths.values())]
            rate = f"{round(growth.real, 12) + 0.0:.3g}{imaginary}"
            rows.append([e.type, about, rate, loss, e.verdict or "–", *values])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)) for r in rows]
        forms = [
            f"{e.type}: {', '.join(f'{n} = {x}' for n, x in e.closed_form.items())}"
            for e in self.equilibria
            if e.closed_form is not None
        ]
        count = f"{self.model}: {len(self.equilibria)} equilibria, {len(self.manifolds)} of them"
        return "\n".join([f"{count} continua ({found})", *map(str.rstrip, lines), *forms])


def equilibria(
    model: Model | ReducedODE | str,
    parameters: Mapping[str, float] | None = None,
    *,
    starts: int = 512,
    reach: float = 2.0,
    readout: Readout = SHARED_FLIP,
    symbolic_seconds: float = 10.0,
) -> Equilibria:
    """All equilibria that Newton's method finds from many starts, with their stability.

    Starts are the origin and Sobol points within ``reach`` of it; where nothing is known of the
    scale, half of them are spread to 186 times that. A search from points proves nothing about
    equilibria that it does not meet. Of mirror images of a model (y_v → −y_v, and v → −v in vectors
    whose signs cancel in every strategy) one is kept. Of equilibria with zero eigenvalues and the
    same index one is kept where they share loss and strengths, or where a path of equilibria is
    found near the line that joins them; the origin is always kept.

    Parameters
    ----------
    model
        A declared model or the name of one in the catalogue, or a reduced ODE.
    parameters
        Values by name; the model's defaults for the rest.
    starts
        How many.
    reach
        Half the width of the box around origin and targets, in units of a target's length √S_v.
    readout
        Gains of the accuracies that the verdict is read from.
    symbolic_seconds
        How long sympy may try to solve f = 0 where there are at most 3 states; 0 for not at all.

    Raises
    ------
    ValueError
        If an argument is unfit; the message names it.

    Examples
    --------
    >>> x, r = sp.symbols("x r", real=True)
    >>> pitchfork = ReducedODE(
    ...     name="pitchfork", state=(x,), parameters=(r,), defaults={"r": 4.0},
    ...     rhs=(r * x - x**3,), outputs={"total": x},
    ... )
    >>> [(e.type, e.state["x"]) for e in equilibria(pitchfork, symbolic_seconds=0).equilibria]
    [('stable node', -2.0), ('stable node', 2.0), ('unstable node', 0.0)]
    """
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be a whole number of at least 1, not {starts!r}")
    check_positive("reach", reach, "a positive number")
    if not 0 <= symbolic_seconds < np.inf:
        raise ValueError(f"symbolic_seconds must be finite, at least 0, not {symbolic_seconds!r}")
    model = declared(model)
    code = compile_ode(model)
    p = parameter_values(code, parameters, None)
    ode = reduce(model) if isinstance(model, Model) else model
    values = dict(zip(ode.parameter_names, p.tolist(), strict=True))
    forms = _closed_forms(ode, values, symbolic_seconds)
    lengths = [np.sqrt(values.get(f"S_{name[2:]}", 1.0)) for name in ode.state_names]
    spread = 0.0 if isinstance(model, Model) else _SPREAD
    points = np.concatenate([
        sobol_starts(starts, reach * np.array(lengths), spread),
        *(form.at(0.5)[None] for form in forms),
    ])  # fmt: skip
    system = NewtonSystem(code, p, points)
    measure = sp.lambdify([ode.state, ode.parameters], [ode.loss or 0, ode.mobility or ()])
    roots = system.roots(points)
    converged = len(roots)
    if isinstance(model, Model):
        roots = _one_of_mirror_images(model, roots)
    candidates = []
    for y in distinct(roots):
        value, mobility = measure(y, p)
        loss = None if ode.loss is None else float(value)
        candidates.append((y, _described(system, y, loss, mobility, readout, forms)))
    candidates.sort(key=lambda c: (bool(c[0].any()), _at_junction(c[1].eigenvalues, system.small)))
    kept: list[tuple[Floats, Equilibrium]] = []
    for y, here in candidates:
        if np.any(np.abs(here.eigenvalues) <= system.small):
            continua = [(z, e) for z, e in kept if e.dimension and z.any()]
            if any(_of_one_continuum(system, y, here, z, e) for z, e in continua):
                continue
            dimension = system.dimension(y)
            kind = _type(here.eigenvalues, dimension, system.small)
            here = dataclasses.replace(here, dimension=dimension, type=kind)
        kept.append((y, here))
    listed = [e for _, e in kept]
    listed.sort(key=lambda e: (round(e.loss or 0.0, 9), e.index, *e.state.values()))
    return Equilibria(
        model=ode.name,
        parameters=ReadOnlyMapping(values),
        equilibria=tuple(listed),
        starts=len(points),
        converged=converged,
    )


class _ClosedForm(NamedTuple):
    """A solution of f = 0: a function of the state, whose free coordinates it takes over."""

    expressions: Mapping[str, sp.Expr]
    values: Callable[[NDArray[np.complex128]], Any]

    def at(self, y: ArrayLike) -> Floats:
        """The solution whose free coordinates are those of a state ``(state,)``; NaN where none."""
        full = np.broadcast_to(np.asarray(y, dtype=np.complex128), (len(self.expressions),))
        with np.errstate(all="ignore"):
            values = np.array(self.values(full), dtype=np.complex128)
        return np.where(np.abs(values.imag) <= SAME * ZERO, values.real, np.nan)


def _closed_forms(
    ode: ReducedODE, values: Mapping[str, float], seconds: float
) -> tuple[_ClosedForm, ...]:
    """What sympy finds of f = 0, in a process of its own that can be stopped."""
    if not seconds or len(ode.state) > _SYMBOLIC_STATES:
        return ()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SOLVE], input=pickle.dumps((ode.rhs, ode.state)),
            capture_output=True, timeout=seconds, check=True,
        )  # fmt: skip
        solutions = pickle.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, pickle.UnpicklingError, EOFError):
        return ()  # too slow, or more than sympy can solve
    numbers = {symbol: values[symbol.name] for symbol in ode.parameters}
    forms = []
    for solution in solutions:
        full = {symbol.name: solution.get(symbol, symbol) for symbol in ode.state}
        exact = [expression.subs(numbers) for expression in full.values()]
        form = _ClosedForm(full, sp.lambdify([ode.state], exact))
        if np.all(np.isfinite(form.at(0.5))):
            forms.append(form)
    return tuple(forms)


def _one_of_mirror_images(model: Model, roots: Floats) -> Floats:
    """Each root or its mirror image: the lengths y_v positive, then the x_v as far as can be.

    v → −v in vectors whose signs cancel in every strategy leaves the loss as it is.
    """
    signs = [
        np.array(s, dtype=np.float64)
        for s in itertools.product((1, -1), repeat=len(model.vectors))
        if all(
            math.prod(s[model.vectors.index(v)] for v in strategy.factors) == 1
            for strategy in model.strategies
        )
    ]
    result = np.abs(roots)
    for row, y in zip(result, roots, strict=True):
        row[::2] = max((s * y[::2] for s in signs), key=lambda x: np.round(x, 6).tolist())
    return result + 0.0  # no negative zeros


def _eigenvalues(jacobian: Floats, mobility: Sequence[float]) -> NDArray[np.complex128]:
    """Of a Jacobian ``(state, state)``, by falling real part; a gradient flow's are real."""
    if len(mobility):
        # J = −M H is similar to the symmetric −√M H √M
        root = np.sqrt(np.array(mobility, dtype=np.float64))
        symmetric = jacobian * root / root[:, None]
        return np.linalg.eigvalsh((symmetric + symmetric.T) / 2)[::-1].astype(np.complex128)
    values = np.linalg.eigvals(jacobian).astype(np.complex128)
    return values[np.lexsort((values.imag, -values.real))]


def _described(
    system: NewtonSystem,
    y: Floats,
    loss: float | None,
    mobility: Sequence[float],
    readout: Readout,
    forms: tuple[_ClosedForm, ...],
) -> Equilibrium:
    """A root as if it were isolated."""
    eigenvalues = _eigenvalues(system.jacobian(y[None])[0], mobility)
    outputs = dict(zip(system.code.output_names, system.table("outputs", y[None])[0], strict=True))
    suffix = "_strength"
    strengths = {n[: -len(suffix)]: float(v) for n, v in outputs.items() if n.endswith(suffix)}
    verdict = None
    if is_predicted(strengths, ("flip", ACCURACY)):
        table = {name: np.array([value]) for name, value in outputs.items()}
        flip = read(("flip", ACCURACY), table, strengths, readout).value[0]
        verdict = verdict_at_rest(round(float(flip), 9))
    tolerance = SAME * (1 + np.abs(y).max())
    form = next((f for f in forms if np.all(np.abs(f.at(y) - y) <= tolerance)), None)
    return Equilibrium(
        state=ReadOnlyMapping(zip(system.code.state_names, y.tolist(), strict=True)),
        residual=float(np.abs(system.table("rhs", y[None])).max()),
        eigenvalues=eigenvalues,
        index=int(np.sum(eigenvalues.real > system.small)),
        dimension=0,
        type=_type(eigenvalues, 0, system.small),
        loss=loss,
        strengths=ReadOnlyMapping(strengths),
        verdict=verdict,
        closed_form=None if form is None else ReadOnlyMapping(form.expressions),
    )


def _type(eigenvalues: NDArray[np.complex128], dimension: int, small: float) -> str:
    """The name of an equilibrium's kind, as `Equilibrium` lists them."""
    growing = int(np.sum(eigenvalues.real > small))
    zero = int(np.sum(np.abs(eigenvalues) <= small))
    turning = int(np.sum(np.abs(eigenvalues.imag) > small))
    neutral = int(np.sum(np.abs(eigenvalues.real) <= small)) - zero
    moving = len(eigenvalues) - zero
    if zero > dimension or (neutral and neutral < moving):
        return "degenerate"
    if neutral:
        return "centre"
    if 0 < growing < moving:
        return f"saddle of index {growing}"
    side = "unstable" if growing else "stable"
    return f"{side} {'focus' if turning else 'node'}"


def _at_junction(eigenvalues: NDArray[np.complex128], small: float) -> tuple[bool, int]:
    """Sorts first what lies amid a continuum: few eigenvalues are zero, and none is nearly so."""
    sizes = np.abs(eigenvalues)
    nearly = (sizes > small) & (sizes < _NEARLY * small)
    return bool(nearly.any()), int(np.sum(sizes <= small))


def _of_one_continuum(
    system: NewtonSystem, y: Floats, here: Equilibrium, z: Floats, known: Equilibrium
) -> bool:
    """Whether equilibria with zero eigenvalues share loss and strengths, or a path joins them."""
    if here.index != known.index:
        return False
    if here.loss is not None and known.loss is not None:
        if abs(here.loss - known.loss) > SAME * (1 + abs(here.loss)):
            return False
        pairs = zip(here.strengths.values(), known.strengths.values(), strict=True)
        if here.strengths and all(abs(a - b) <= SAME for a, b in pairs):
            return True
    return system.joined(y, z)
