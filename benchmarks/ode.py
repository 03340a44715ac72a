"""Time the toy model's integration side by side with its peers, taking turns on one core.

    python benchmarks/ode.py single|batch|sensitivities|descent [--peers-python PATH]

Each method's time stands beside its error against an independent tight solution (scipy's
Fortran DOP853 at rtol 1e-13, stopping at every save point): a fast wrong answer is no comparison.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import sympy as sp
from ode_problem import (
    ATOL,
    MEMBERS,
    RTOL,
    UNTIL,
    extended,
    ode,
    problem,
    states_and_sensitivities,
    straight_line,
)

HERE = Path(__file__).resolve().parent
CHECKED = 20  # members of the batch held against the tight solution
PATIENCE = 20.0  # seconds in all that one method may use
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


class Worker:
    """A process of `ode_worker` under some Python."""

    def __init__(self, python: str, family: str, task: str, core: int) -> None:
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(HERE / "ode_worker.py"), family, task, str(core)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **ONE_THREAD},
        )  # fmt: skip

    def ask(self, **request: str) -> dict:
        """Send a request and wait for its answer."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the worker ended at {request}; its error stands above")
        return json.loads(answer)

    def end(self) -> None:
        """Let the process go."""
        self.process.stdin.close()
        self.process.wait()


@dataclasses.dataclass(kw_only=True)
class Entry:
    """A method, its times, and how wrong it is."""

    name: str
    worker: Worker
    first: float
    result: np.ndarray
    seconds: list[float] = dataclasses.field(default_factory=list)


def tight(
    expressions: Sequence[sp.Expr], state: Sequence[sp.Symbol], y0: np.ndarray, p: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The solution to about 1e-12, shape ``(time, state)``."""
    from ode_peers_scipy import numba_rhs
    from scipy.integrate import ode as fortran

    rhs = _RHS.setdefault(len(state), numba_rhs(expressions, state))
    solver = fortran(lambda t, y: rhs(y, t, p))
    solver.set_integrator("dop853", rtol=1e-13, atol=1e-16, nsteps=10**6)
    solver.set_initial_value(y0, 0.0)
    return np.array([solver.integrate(time) for time in times])


_RHS: dict[int, Callable] = {}


def references(task: str) -> np.ndarray:
    """What the task's results should be."""
    given = problem()
    y0 = given.start.state
    if task == "single":
        return tight(ode().rhs, ode().state, y0, given.parameters, given.times)
    if task == "batch":
        end = np.array([UNTIL])
        return np.concatenate(
            [tight(ode().rhs, ode().state, y0, p, end) for p in given.members[:CHECKED]]
        )
    if task == "sensitivities":
        start = np.zeros(len(extended()[1]))
        start[: len(y0)] = y0
        return states_and_sensitivities(tight(*extended(), start, given.parameters, given.times))
    return descent_reference()


def descent_reference() -> np.ndarray:
    """Stop step and end of the reduced descent, by a plain Python loop over the same equations."""
    given = problem()
    both = straight_line(
        [ode().outputs["total"], *ode().rhs], ode().state, head="(y, p)", into=None,
        namespace={"sqrt": math.sqrt},
    )  # fmt: skip
    y, p = given.start.state.tolist(), given.parameters.tolist()
    for step in range(16001):
        total, *slopes = both(y, p)
        if total < 1e-6 or step == 16000:
            break
        y = [value + slope for value, slope in zip(y, slopes, strict=True)]
    return np.array([step, *y])


def errors(task: str, result: np.ndarray, truth: np.ndarray) -> str:
    """How far a result is from the truth, in words."""
    if task == "batch":
        return f"{np.max(np.abs(result[:CHECKED] - truth)):8.1e}"
    if task == "descent":
        gap = np.max(np.abs(result[1:] - truth[1:]))
        return f"stops at {int(result[0])}, end {gap:.1e}"
    result = result[0] if result.ndim > truth.ndim else result
    if task == "single":
        gap = np.abs(result - truth)
        return f"{gap.max():8.1e}  at end {gap[-1].max():8.1e}"
    states = np.abs(result[..., 0] - truth[..., 0]).max()
    scale = np.abs(truth[..., 1:]).max(axis=(0, 1))
    slopes = (np.abs(result[..., 1:] - truth[..., 1:]).max(axis=(0, 1)) / scale).max()
    return f"{states:8.1e}  sensitivities {slopes:8.1e} (relative)"


def members_of(task: str, result: np.ndarray) -> int:
    """Trajectories in one call."""
    if task == "batch":
        return len(result)
    return len(result) if task == "sensitivities" and result.ndim == 4 else 1


def gather(task: str, workers: Sequence[Worker], only: str) -> list[Entry]:
    """Every method that is there, compiled and run once."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for worker in workers:
            for name in worker.ask(do="list")["methods"]:
                if only not in name:
                    continue
                reply = worker.ask(do="prepare", method=name)
                if "absent" in reply:
                    print(f"  left out: {name}: {reply['absent']}")
                    continue
                file = str(Path(folder) / "result.npy")
                worker.ask(do="result", method=name, file=file)
                entries.append(
                    Entry(name=name, worker=worker, first=reply["first"], result=np.load(file))
                )
    return entries


def main() -> None:
    """Parse, prepare, take turns, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("single", "batch", "sensitivities", "descent"))
    parser.add_argument("--peers-python", help="a Python with the peers; see benchmarks/README.md")
    parser.add_argument("--turns", type=int, default=15, help="turns each method gets")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="methods whose name contains this")
    chosen = parser.parse_args()
    workers = [Worker(sys.executable, "ours", chosen.task, chosen.core)]
    if chosen.peers_python:
        workers.append(Worker(chosen.peers_python, "peers", chosen.task, chosen.core))
    else:
        print("no --peers-python: the package alone")
    print(
        f"{chosen.task}: paper's model, {problem().source}, t to {UNTIL:g}, rtol {RTOL:g}, "
        f"atol {ATOL:g}, one core"
    )
    entries = gather(chosen.task, workers, chosen.only)
    for _ in range(chosen.turns):
        for entry in entries:
            if sum(entry.seconds) < PATIENCE:
                entry.seconds += entry.worker.ask(do="time", method=entry.name)["seconds"]
    for worker in workers:
        worker.end()
    report(chosen.task, entries)


def report(task: str, entries: Sequence[Entry]) -> None:
    """A table: medians and minima per trajectory, ratio to the first, error."""
    truth = references(task)
    if task == "batch":
        print(f"  {MEMBERS} members; error of the end states of the first {CHECKED}")
    print(
        f"{'method':52s} {'median ms':>10s} {'least ms':>10s} {'per s':>8s} {'ratio':>8s} "
        f"{'first s':>8s} {'calls':>6s}  largest error"
    )
    base = None
    for entry in entries:
        each = members_of(task, entry.result)
        median = statistics.median(entry.seconds) / each * 1e3
        least = min(entry.seconds) / each * 1e3
        base = base or median
        print(
            f"{entry.name:52s} {median:10.4f} {least:10.4f} {1e3 / median:8.0f} "
            f"{median / base:8.2f} {entry.first:8.2f} {len(entry.seconds):6d}  "
            f"{errors(task, entry.result, truth)}"
        )


if __name__ == "__main__":
    main()
