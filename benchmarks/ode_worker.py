"""One solver after the other on request: the process in which a family of solvers is timed.

`ode.py` starts one such process for each Python and sends a JSON object a line: ``list``,
``prepare`` (import, compile, run once), ``time`` (a burst of calls), ``result`` (written to a
file). So solvers from different environments take turns on one core.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

FAMILIES = {
    "ours": ("ode_ours",),
    "peers": (
        "ode_peers_scipy",
        "ode_peers_compiled",
        "ode_peers_autodiff",
        "ode_peers_descent",
    ),
}
BURST = 0.1  # seconds of calls at a turn


def methods(family: str, task: str) -> dict[str, Callable[[], Callable[[], np.ndarray]]]:
    """The family's factories for a task, by name."""
    found: dict[str, Callable] = {}
    for module in FAMILIES[family]:
        found.update(importlib.import_module(module).METHODS.get(task, {}))
    return found


def prepared(factory: Callable[[], Callable[[], np.ndarray]]) -> dict[str, Any]:
    """Build the solver and call it once, compilation included; or say why it is not there."""
    began = time.perf_counter()
    try:
        call = factory()
        call()
    except Exception as error:  # any failure of a peer is a line of the report
        text = str(error).strip().splitlines()
        return {"absent": f"{type(error).__name__}: {text[0] if text else ''}"}
    return {"call": call, "first": time.perf_counter() - began}


def burst(call: Callable[[], np.ndarray]) -> list[float]:
    """Seconds of each call, as many as fit into a turn and at least one."""
    seconds: list[float] = []
    while sum(seconds) < BURST:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


def serve(family: str, task: str, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the input ends."""
    factories = methods(family, task)
    calls: dict[str, Callable[[], np.ndarray]] = {}
    for line in requests:
        request = json.loads(line)
        name = request.get("method")
        reply: dict[str, Any]
        if request["do"] == "list":
            reply = {"methods": list(factories)}
        elif request["do"] == "prepare":
            reply = prepared(factories[name])
            if "call" in reply:
                calls[name] = reply.pop("call")
        elif request["do"] == "time":
            reply = {"seconds": burst(calls[name])}
        else:
            np.save(request["file"], calls[name]())
            reply = {}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[3])})
    # solvers that print must not disturb the answers
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.argv[2], sys.stdin, channel)
