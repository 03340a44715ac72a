"""Many steps as one CUDA graph: recorded once, then replayed without the host in between.

A graph holds the operations of a stretch of steps on tensors that stay where they are: weights,
moments, the count of steps that schedules read, the running sum of losses, and a copy of the
stretch's batches. Before a replay the next batches are looked up into that copy. Sequences are
drawn outside, so a run's data are the same with and without graphs; so are its numbers, because a
replay computes the recorded operations and no others.

The run's first steps are computed one by one, on batches at the addresses that graphs use: this
loads and compiles the kernels, which depend on shapes and on how addresses are aligned. A step that
needs the host (to draw embeddings anew) is also computed alone; shorter graphs, down to a single
step, compute what an evaluation cuts off a stretch.

Rows that a step leaves waiting (`TrainingStep.settle`) are settled between stretches, by whoever
reads them, and never inside a graph.
"""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ....settings.training import TrainingSettings
from ...sequences.batch import ALIGNMENT, Batch, batch_at
from ...sequences.batches import BatchStream
from ..step import TrainingStep

STRETCH = 32  # steps between looks at the clock and at requests to stop, and in a graph
SHORTER = (8, 1)  # steps of the graphs for what is left of a stretch
WARM_UP = 3  # steps before anything is recorded
AHEAD = 4  # stretches that may be waiting for the device


class Recorder(Protocol):
    """Where stretches are computed and how they are recorded."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Compute on a stream of its own while this is active."""

    def record(self, work: Callable[[], None]) -> Callable[[], object]:
        """What repeats the device's part of ``work``, which is called but not computed."""

    def keep_pace(self) -> None:
        """Wait until no more than a few stretches are under way."""


class CudaGraphs:
    """Records CUDA graphs on one device; all of them share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool: Any = None
        self.under_way: collections.deque[torch.cuda.Event] = collections.deque()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Compute on a side stream, in order with what the current stream does before and after."""
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            yield
        here.wait_stream(self.stream)

    def record(self, work: Callable[[], None]) -> Callable[[], object]:
        """The graph's replay."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        self.pool = graph.pool()
        return graph.replay

    def keep_pace(self) -> None:
        """Wait for the stretch `AHEAD` before this one, so that Ctrl-C and the clock work."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(self.stream)
        self.under_way.append(event)
        if len(self.under_way) > AHEAD:
            self.under_way.popleft().synchronize()


def why_not_captured(settings: TrainingSettings, device: torch.device) -> str:
    """Why steps are not captured in CUDA graphs; empty where they are."""
    if device.type != "cuda":
        return f"the device is {device.type}"
    return "run.capture = off" if settings.run.capture == "off" else ""


class CapturedSteps:
    """Takes an ensemble's steps in stretches; adds losses to ``loss_sum`` ``(members,)``.

    If recording fails, ``report`` gets a sentence, ``problem`` keeps the reason, and all later
    steps are taken one by one. ``replayed`` counts the steps that graphs have taken.
    """

    def __init__(
        self,
        step: TrainingStep,
        stream: BatchStream,
        loss_sum: Tensor,
        *,
        length: int,
        recorder: Recorder,
        report: Callable[[str], None],
    ) -> None:
        self.step, self.stream, self.loss_sum, self.length = step, stream, loss_sum, length
        self.recorder, self.report = recorder, report
        self.sizes = (length, *(size for size in SHORTER if size < length))
        self.replays: dict[int, Callable[[], object]] = {}
        self.batches: Batch | None = None
        self.warmed, self.replayed, self.problem = 0, 0, ""

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        with self.recorder.aside():
            left = steps
            while left:
                left -= self.take_some(left)
        self.recorder.keep_pace()

    def take_some(self, most: int) -> int:
        """Take one step or one stretch; how many steps it was."""
        hostless = min(self.step.without_host(most), self.length)
        if hostless == 0 or self.warmed < WARM_UP or self.problem:
            count = max(hostless, 1)
            for _ in range(count):
                self.stream.fill(self.places(), 1)
                self.loss_sum.add_(self.step(batch_at(self.places(), 0)))
            self.warmed += count
            return count
        count = next(size for size in self.sizes if size <= hostless)
        replay = self.replays.get(count) or self.record(count)
        if replay is None:
            return 0
        self.stream.fill(self.places(), count)
        replay()
        self.step.count(count)
        self.replayed += count
        return count

    def record(self, count: int) -> Callable[[], object] | None:
        """Record so many steps; None where that fails for another reason than too little memory."""
        batches = self.places()

        def work() -> None:
            for place in range(count):
                self.loss_sum.add_(self.step.compute(batch_at(batches, place)))

        try:
            self.replays[count] = self.recorder.record(work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # PyTorch's for an operation that cannot be recorded
            self.problem = f"recording a CUDA graph failed: {str(error).splitlines()[0]}"
            self.report(f"{self.problem}; steps are taken one by one")
            return None
        return self.replays[count]

    def places(self) -> Batch:
        """Where a stretch's batches are put, always at the same addresses."""
        if self.batches is None:
            self.batches = self.stream.peek().map(lambda part: room_for(part, self.length))
        return self.batches


def room_for(like: Tensor, count: int) -> Tensor:
    """Zeros for ``count`` tensors of the shape of a single one's, all aligned alike."""
    size = like[0].numel()
    unit = ALIGNMENT // like.element_size()
    room = torch.zeros((count, unit * math.ceil(size / unit)), dtype=like.dtype, device=like.device)
    return room[:, :size].view(count, *like.shape[1:])
