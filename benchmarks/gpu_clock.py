"""Times on a device: by its own events on a GPU, by the clock on a CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Spent(NamedTuple):
    """Microseconds of a step: median, and the quantiles a tenth from either end."""

    median: float
    fast: float
    slow: float


class Clock:
    """Times functions on one device.

    Parameters
    ----------
    device
        Where they compute.
    rounds
        How often each is timed.
    """

    def __init__(self, device: torch.device, rounds: int) -> None:
        self.device, self.rounds = device, rounds

    def microseconds(
        self, function: Callable[[], object], steps: int, *, calls: int = 1, warm_up: int = 3
    ) -> Spent:
        """Time of a step.

        Parameters
        ----------
        function
            Called ``calls`` times between two looks at the clock.
        steps
            Steps that a call takes.
        calls, warm_up
            Calls in a round, and rounds before any is counted.
        """
        for _ in range(warm_up * calls):
            function()
        times = [self.elapsed(function, calls) for _ in range(self.rounds)]
        tenths = statistics.quantiles(times, n=10) if len(times) > 1 else [times[0]] * 9
        per = 1e6 / (steps * calls)
        return Spent(statistics.median(times) * per, tenths[0] * per, tenths[-1] * per)

    def elapsed(self, function: Callable[[], object], calls: int) -> float:
        """Seconds that some calls take, from an idle device to an idle device."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(calls):
                function()
            return time.perf_counter() - start
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        begun.record()
        for _ in range(calls):
            function()
        ended.record()
        torch.cuda.synchronize(self.device)
        return begun.elapsed_time(ended) / 1e3


def captured(function: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The function as a replayed CUDA graph; itself on a CPU."""
    if device.type != "cuda":
        return function
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph.replay
