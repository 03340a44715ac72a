"""Worker processes on this machine, each replaced when it dies, none harmed by another's death."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from ...errors import Interrupted

GRACE = 60.0  # seconds a worker has to write its checkpoint when nobody is left to wait for it
STOP = b"stop"

Result = TypeVar("Result")
Given = ParamSpec("Given")


class LocalExecutor(concurrent.futures.Executor):
    """An executor of single-process pools of the standard library.

    One pool of several processes breaks as a whole when one of them is killed. Here each worker is
    a pool of its own: the call that was lost raises `BrokenExecutor`, the worker gets a new process
    for its next call, and the others don't notice. Workers stop, with a checkpoint, when
    `interrupt` is called or this process dies.

    Parameters
    ----------
    workers
        Processes.
    devices
        CUDA devices, as in ``CUDA_VISIBLE_DEVICES``; worker i sees only the i-th, round and round.
        Empty: all see what this process sees.

    Raises
    ------
    ValueError
        If ``workers`` is below 1.
    """

    def __init__(self, workers: int, *, devices: Sequence[str] = ()) -> None:
        if workers < 1:
            raise ValueError(f"workers = {workers}: at least 1 is needed")
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="coopetition")
        self._workers = [
            _Worker(devices[i % len(devices)] if devices else None) for i in range(workers)
        ]
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have a worker call the function, which must be importable by name."""
        return self._threads.submit(self._call, lambda pool: pool.submit(fn, *args, **kwargs))

    def _call(self, submit: Callable[[ProcessPoolExecutor], Future[Result]]) -> Result:
        worker = self._free.get()
        try:
            return submit(worker.pool()).result()
        except BrokenExecutor:
            worker.stop()
            raise
        finally:
            self._free.put(worker)

    def interrupt(self) -> None:
        """Tell every worker to write a checkpoint and stop; calls not yet begun are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.let_go()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end the processes when those accepted are done."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            for worker in self._workers:
                worker.stop()


class _Worker:
    """A process that is started when it is needed, and the leash it is held by.

    The leash is a pipe of which this process has the only end to write to: the worker stops when it
    is told to, and ends when that end is closed, as it is when this process dies.
    """

    def __init__(self, device: str | None) -> None:
        self.device = device
        self.running: ProcessPoolExecutor | None = None
        self.leash: Connection | None = None
        self.released = False
        self.change = threading.Lock()  # `let_go` comes from another thread

    def pool(self) -> ProcessPoolExecutor:
        """The process, a new one if there is none."""
        with self.change:
            if self.released:
                raise Interrupted("interrupted before it began; continue with --resume")
            if self.running is None:
                # spawned: a forked copy of a process with threads, or with CUDA, is not sound
                context = multiprocessing.get_context("spawn")
                end, self.leash = context.Pipe(duplex=False)
                self.running = ProcessPoolExecutor(
                    1, context, initializer=_begin, initargs=(end, self.device)
                )
            return self.running

    def let_go(self) -> None:
        """Make the process stop what it does, and start no other."""
        with self.change:
            self.released = True
            if self.leash is not None:
                with contextlib.suppress(OSError):  # it is dead already
                    self.leash.send_bytes(STOP)

    def stop(self) -> None:
        """End the process, which is idle or dead."""
        with self.change:
            if self.running is not None:
                self.running.shutdown()
                self.running = None
            if self.leash is not None:
                self.leash.close()
                self.leash = None


def _begin(leash: Connection, device: str | None) -> None:
    """Prepare a worker process."""
    os.setpgrp()  # a terminal's Ctrl-C comes by way of the leash, once
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    threading.Thread(target=_obey, args=(leash,), daemon=True).start()


def _obey(leash: Connection) -> None:
    """Pass on that this process must stop; when the leash breaks, see to it that it ends."""
    told = False
    with contextlib.suppress(EOFError, OSError):
        while leash.recv_bytes():
            told = True
            os.kill(os.getpid(), signal.SIGTERM)  # training takes note of it; an idle process ends
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        # a second signal would cut short the checkpoint that the first one asked for
        if not told or signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            told = True
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
    os._exit(1)
