"""The problem every solver is given: the paper's model from a start the paper used.

The equations come from the package's own reduction, so that all solvers integrate the very same
expressions; each family turns them into what it wants (`straight_line`).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the peers' Python has no coopetition installed
    sys.path.insert(0, str(ROOT))

from coopetition.dynamics.catalogue import get  # noqa: E402
from coopetition.dynamics.reduction import ReducedODE, reduce  # noqa: E402
from coopetition.dynamics.starts import Start, project  # noqa: E402

RTOL, ATOL, UNTIL = 1e-8, 1e-10, 16000.0
STEPS, STOP_BELOW = 16000, 1e-6
SAVE_POINTS = 200
MEMBERS = 10_000
VARIED = ("alpha", "mu1", "mu2", "n_a", "n_b", "n_d")  # the six sensitivities
SEED = 7
STARTS = ROOT.parent / "shared" / "data" / "toy" / "reference_seeds_00_11.npz"
MODEL = get("coopetition")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Start, parameters and sampling times.

    Parameters
    ----------
    initial, target
        The full vectors by name.
    start
        Their projection.
    parameters
        Values in the order of the reduced ODE's parameters, shape ``(11,)``.
    members
        The batch's parameters, shape ``(10000, 11)``: alpha and mu1 log-uniform over 1e-3 … 1.
    times
        The 200 save points, shape ``(200,)``.
    source
        Where the start came from.
    """

    initial: dict[str, np.ndarray]
    target: dict[str, np.ndarray]
    start: Start
    parameters: np.ndarray
    members: np.ndarray
    times: np.ndarray
    source: str


@functools.cache
def ode() -> ReducedODE:
    """The paper's model, reduced."""
    return reduce(MODEL)


@functools.cache
def problem() -> Problem:
    """Seed 7 of the reference (ICL emerges and is gone by step 9,620), or a random start."""
    if STARTS.exists():
        with np.load(STARTS) as archive:
            stored = {n: archive[n] for n in archive.files if n.startswith(f"seed{SEED:02d}_")}
        initial = {v: stored[f"seed{SEED:02d}_init_{v}"] for v in MODEL.vectors}
        target = {v: stored[f"seed{SEED:02d}_true_{v}"] for v in MODEL.vectors}
        source = f"seed {SEED} of the paper's code"
    else:
        rng = np.random.default_rng(SEED)
        target = {v: rng.normal(size=n) for v, n in MODEL.dimensions.items()}
        initial = {v: rng.normal(size=n) for v, n in MODEL.dimensions.items()}
        source = f"standard normal vectors, numpy seed {SEED}"
    initial = {v: np.asarray(w, np.float64) for v, w in initial.items()}
    target = {v: np.asarray(w, np.float64) for v, w in target.items()}
    start = project(MODEL, initial, target, description=source)
    values = {**ode().defaults, **start.parameters}
    parameters = np.array([values[name] for name in ode().parameter_names])
    members = np.tile(parameters, (MEMBERS, 1))
    draws = np.random.default_rng(0).uniform(np.log(1e-3), 0.0, size=(2, MEMBERS))
    for name, draw in zip(("alpha", "mu1"), draws, strict=True):
        members[:, ode().parameter_names.index(name)] = np.exp(draw)
    times = np.linspace(0.0, UNTIL, SAVE_POINTS + 1)[1:]
    return Problem(
        initial=initial, target=target, start=start, parameters=parameters, members=members,
        times=times, source=source,
    )  # fmt: skip


@functools.cache
def extended() -> tuple[tuple[sp.Expr, ...], tuple[sp.Symbol, ...]]:
    """State and sensitivities as one system: expressions and its 56 symbols.

    ẏ = f, Ṡ_k = J S_k + ∂f/∂p_k for the six parameters; sensitivities follow the state, one
    parameter after the other.
    """
    system = ode()
    expressions, symbols = list(system.rhs), list(system.state)
    by_name = dict(zip(system.parameter_names, system.parameters, strict=True))
    for name in VARIED:
        column = sp.Matrix(sp.symbols([f"d_{name}_{s}" for s in system.state_names], real=True))
        direct = sp.Matrix([sp.diff(f, by_name[name]) for f in system.rhs])
        expressions += list(system.jacobian * column + direct)
        symbols += list(column)
    return tuple(expressions), tuple(symbols)


def straight_line(
    expressions: Sequence[sp.Expr],
    state: Sequence[sp.Symbol],
    *,
    head: str,
    into: str | None,
    namespace: dict[str, Any],
) -> Callable[..., Any]:
    """A Python function of ``y`` and ``p`` with common subexpressions taken out.

    Parameters
    ----------
    expressions, state
        What to compute, from which symbols (``y``'s order) and the model's parameters (``p``).
    head
        The signature, for instance ``"(y, t, p)"``.
    into
        The array the results are written to, or None to return them as a tuple.
    namespace
        Names the code may use, ``sqrt`` at least.
    """
    lines = [f"{s.name} = y[{i}]" for i, s in enumerate(state)]
    lines += [f"{s.name} = p[{i}]" for i, s in enumerate(ode().parameters)]
    steps, results = sp.cse(list(expressions), symbols=sp.numbered_symbols("v"))
    printer = sp.printing.pycode
    lines += [f"{s} = {printer(e, fully_qualified_modules=False)}" for s, e in steps]
    values = [printer(e, fully_qualified_modules=False) for e in results]
    if into is None:
        lines.append(f"return ({', '.join(values)},)")
    else:
        lines += [f"{into}[{i}] = {value}" for i, value in enumerate(values)]
    body = "\n    ".join(lines)
    scope = dict(namespace)
    exec(f"def function{head}:\n    {body}\n", scope)
    return scope["function"]


def states_and_sensitivities(rows: np.ndarray) -> np.ndarray:
    """Rows of the extended system ``(time, 56)`` as ``(time, state, 1 + parameter)``."""
    return rows.reshape(len(rows), 1 + len(VARIED), len(ode().state)).transpose(0, 2, 1)
