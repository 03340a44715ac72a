"""Time `coopetition integrate coopetition` as a whole process, with and without what it caches.

    python benchmarks/ode_cold.py [--peers-python PATH]

The *first* run has an empty COOPETITION_CACHE and an empty numba cache; later ones find what it
left. Peers: a process that integrates the same model once and ends.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ode import ONE_THREAD

HERE = Path(__file__).resolve().parent
OURS = (
    ("integrate", "coopetition"),
    ("integrate", "coopetition", "--method=descent"),
    ("integrate", "coopetition", "--until=64000", "-pmu1=0"),
    ("--version",),  # the floor
)
PEERS = (
    "scipy solve_ivp LSODA, lambdified",
    "scipy odeint, numba",
    "numbalsoda LSODA",
    "JiTCODE dopri5",
    "diffrax Dopri5, jitted",
)
Seconds = tuple[float, float]
ONCE = "import sys; from ode_worker import methods; methods('peers', 'single')[sys.argv[1]]()()"


def seconds(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a process that has to succeed."""
    began, used = time.perf_counter(), _children()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE)
    passed = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return passed, _children() - used


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def caches(folder: str) -> dict[str, str]:
    """An environment whose caches lie in the folder."""
    return {
        **os.environ, **ONE_THREAD, "COOPETITION_CACHE": folder,
        "NUMBA_CACHE_DIR": str(Path(folder) / "numba"),
    }  # fmt: skip


def measured(command: list[str], repeats: int) -> tuple[list[Seconds], list[Seconds]]:
    """Seconds with empty caches, and with filled ones."""
    first, later = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            first.append(seconds(command, caches(folder)))
            later += [seconds(command, caches(folder)) for _ in range(2)]
    return first, later


def line(name: str, first: list[Seconds], later: list[Seconds]) -> str:
    """A row of the report."""
    cells = []
    for runs in (first, later):
        wall, processor = zip(*runs, strict=True)
        cells.append(f"{statistics.median(wall):6.2f} {min(wall):6.2f} {min(processor):6.2f}")
    return f"{name:52s} {cells[0]}   {cells[1]}"


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", help="a Python with the peers; see benchmarks/README.md")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    beside = Path(sys.executable).parent / "coopetition"
    program = str(beside) if beside.exists() else shutil.which("coopetition")
    if program is None:
        raise SystemExit("the command coopetition is not installed; pip install -e .")
    with tempfile.TemporaryDirectory() as folder:  # byte code and disk caches, once for all
        seconds([program, "integrate", "coopetition"], caches(folder))
    print("seconds of the whole process: median, least, and least of processor time")
    print(f"{'':52s} {'first':>20s}   {'later':>20s}")
    for arguments in OURS:
        name = " ".join(["coopetition", *arguments])
        print(line(name, *measured([program, *arguments], chosen.repeats)), flush=True)
    for name in PEERS if chosen.peers_python else ():
        command = [chosen.peers_python, "-W", "ignore", "-c", ONCE, name]
        try:
            print(line(name, *measured(command, max(1, chosen.repeats // 3))), flush=True)
        except SystemExit as error:
            print(f"left out: {name}: {str(error).splitlines()[-1]}")


if __name__ == "__main__":
    main()
