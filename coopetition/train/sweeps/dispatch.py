"""Tasks handed to an executor and awaited: lost ones are tried again, failures stop nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Protocol

from ...errors import CoopetitionError
from ..interruption import Interruption
from .tasks import Task, TaskResult
from .worker import train_task

POLL = 0.5  # seconds between looks at what is running and at requests to stop
STOPPED = "interrupted; continue with --resume"


class Watcher(Protocol):
    """Something that is told how a sweep goes."""

    def count(self, *, done: int, running: int, failed: int) -> None:
        """Take note of the number of runs."""

    def note(self, text: str) -> None:
        """Say a sentence to the user."""

    def close(self) -> None:
        """Finish."""


class SweepBar:
    """A bar on stderr with the runs that are done, running and failed."""

    def __init__(self, total: int, name: str) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=total, desc=name, unit="run", file=sys.stderr, dynamic_ncols=True)
        self.shown = (-1, -1, -1)

    def count(self, *, done: int, running: int, failed: int) -> None:
        """Move the bar; only what is new is written, for stderr may be a file."""
        if self.shown == (done, running, failed):
            return
        self.shown = (done, running, failed)
        self.bar.n = done
        self.bar.set_postfix({"running": running, "failed": failed}, refresh=True)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


class Silence:
    """Says nothing."""

    def count(self, *, done: int, running: int, failed: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def dispatch(
    tasks: Sequence[Task],
    executor: Executor | Callable[[], Executor],
    *,
    retries: int = 2,
    watcher: Watcher | None = None,
    already: int = 0,
    work: Callable[[Task], TaskResult] = train_task,
) -> tuple[TaskResult, ...]:
    """Have every task done.

    Parameters
    ----------
    tasks
        What to do.
    executor
        Who does it. One that breaks as a whole when a worker dies, as ``ProcessPoolExecutor`` does,
        is better given as a function that makes one: then a fresh one takes its place.
    retries
        How often a task is tried again whose worker died or was stopped. What the package itself
        states as a failure (wrong settings, a loss that is not finite) is not tried again.
    watcher
        Who is told.
    already
        Runs that were done before, for the watcher.
    work
        What is done with a task; it must be importable by name.

    Returns
    -------
    tuple of TaskResult
        In the order of the tasks. After Ctrl-C or SIGTERM those not finished say so; whoever runs
        is told to stop with a checkpoint where the executor has a way to (``interrupt``).

    Raises
    ------
    ValueError
        If ``retries`` is negative.
    """
    if retries < 0:
        raise ValueError(f"retries = {retries}: must be 0 or more")
    hands = _Hands(executor, work)
    watcher = watcher or Silence()
    outcomes: dict[str, TaskResult] = {}
    tries = dict.fromkeys((task.folder for task in tasks), 0)
    with Interruption() as interruption:
        waiting = {hands.take(task): task for task in tasks}
        while waiting:
            report(watcher, already, outcomes.values(), waiting)
            wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
            # `wait` itself does not count a future as ended that was cancelled before it began
            for future in [future for future in waiting if future.done()]:
                task = waiting.pop(future)
                outcome = outcome_of(future, task)
                tries[task.folder] += 1
                if outcome.retry and tries[task.folder] <= retries and not interruption.requested:
                    watcher.note(f"{', '.join(task.names)}: {outcome.error}; trying again")
                    waiting[hands.take(task)] = task
                    continue
                outcomes[task.folder] = outcome
                if outcome.error and not hands.stopped:
                    watcher.note(f"{', '.join(task.names)}: {outcome.error}")
            if interruption.requested and not hands.stopped:
                watcher.note("stopping: the runs under way write a checkpoint")
                for future in hands.stop(waiting):
                    task = waiting.pop(future)
                    outcomes[task.folder] = TaskResult(names=task.names, error=STOPPED, retry=True)
    report(watcher, already, outcomes.values(), {})
    return tuple(outcomes[task.folder] for task in tasks)


class _Hands:
    """The executor at work, and a fresh one where it broke and there is a way to make one."""

    def __init__(
        self, executor: Executor | Callable[[], Executor], work: Callable[[Task], TaskResult]
    ) -> None:
        self.make = None if isinstance(executor, Executor) else executor
        self.present = executor if isinstance(executor, Executor) else executor()
        self.work = work
        self.stopped = False

    def take(self, task: Task) -> Future[TaskResult]:
        """Hand over a task."""
        try:
            return self.present.submit(self.work, task)
        except BrokenExecutor as error:
            if self.make is None:
                lost: Future[TaskResult] = Future()
                lost.set_exception(error)
                return lost
            self.present.shutdown(wait=False)
            self.present = self.make()
            return self.present.submit(self.work, task)

    def stop(self, waiting: Iterable[Future[TaskResult]]) -> list[Future[TaskResult]]:
        """Begin nothing more and stop what runs; which futures nobody needs to wait for."""
        self.stopped = True
        interrupt = getattr(self.present, "interrupt", None)
        if interrupt is not None:
            interrupt()
            return []
        # without a way to stop what runs, it goes on where it is, and is found finished later
        for future in waiting:
            future.cancel()
        return [future for future in waiting if not future.done()]


def outcome_of(future: Future[TaskResult], task: Task) -> TaskResult:
    """What came of a task whose future has ended."""
    if future.cancelled():
        return TaskResult(names=task.names, error=STOPPED, retry=True)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, CoopetitionError):
        text = str(error)
    elif isinstance(error, BrokenExecutor):
        text = "its worker died"
    else:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    return TaskResult(names=task.names, error=text, retry=True)


def report(
    watcher: Watcher,
    already: int,
    outcomes: Iterable[TaskResult],
    waiting: dict[Future[TaskResult], Task],
) -> None:
    """Count runs for the watcher."""
    ended = [(len(outcome.names), bool(outcome.error)) for outcome in outcomes]
    watcher.count(
        done=already + sum(runs for runs, failed in ended if not failed),
        running=sum(len(task.names) for future, task in waiting.items() if future.running()),
        failed=sum(runs for runs, failed in ended if failed),
    )
