"""Dispatch of tasks to an executor: lost tasks are tried again, a failure stops no other task."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)

from ...errors import CoopetitionError
from ..interruption import Interruption
from .task_process import DIED, STOPPED, stop_task, train_task
from .tasks import Task, TaskResult

POLL = 0.5  # seconds between looks at what is running and at requests to stop

Waiting = dict[Future[TaskResult], Task]


class SweepBar:
    """A bar on stderr that counts the runs done, running and failed; silent unless ``shown``."""

    def __init__(self, total: int, name: str, *, shown: bool = True) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            total=total, desc=name, unit="run", file=sys.stderr, dynamic_ncols=True,
            disable=not shown,
        )  # fmt: skip
        self.last = (-1, -1, -1)

    def count(self, done: int, running: int, failed: int) -> None:
        """Move the bar; equal counts are written once, for stderr may be a file."""
        if not self.bar.disable and self.last != (done, running, failed):
            self.last = (done, running, failed)
            self.bar.n = done
            self.bar.set_postfix({"running": running, "failed": failed}, refresh=True)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        if not self.bar.disable:
            self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def dispatch(
    tasks: Sequence[Task],
    executor: Executor | Callable[[], Executor],
    *,
    retries: int,
    bar: SweepBar,
    already: int = 0,
    work: Callable[[Task], TaskResult] = train_task,
) -> tuple[TaskResult, ...]:
    """The result of every task, in the order of the tasks.

    A lost task is tried again, at most ``retries`` times; a failure that would recur (wrong
    settings, a loss that is not finite) is not. ``executor`` may be a function that makes one, for
    a pool that breaks as a whole when a worker dies. After Ctrl-C or SIGTERM, processes that can be
    stopped write a checkpoint and are awaited. ``already`` counts runs finished before.
    """
    if retries < 0:
        raise ValueError(f"retries = {retries}: must be 0 or more")
    workers = _Workers(executor, work)
    results: dict[str, TaskResult] = {}
    tries: Counter[str] = Counter()
    sizes = {task.folder: len(task.members) for task in tasks}
    stopping = False

    def update_bar() -> None:
        running = sum(sizes[task.folder] for future, task in waiting.items() if future.running())
        failed = sum(sizes[folder] for folder, result in results.items() if result.error)
        ended = sum(sizes[folder] for folder in results)
        bar.count(already + ended - failed, running, failed)

    with Interruption() as interruption:
        waiting = {workers.submit(task): task for task in tasks}
        try:
            while waiting:
                update_bar()
                wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
                # `wait` does not return futures that were cancelled before they began
                for future in [future for future in waiting if future.done()]:
                    task = waiting.pop(future)
                    result = result_of(future)
                    tries[task.folder] += 1
                    again = result.retry and tries[task.folder] <= retries
                    if again and not interruption.requested:
                        bar.note(f"{', '.join(task.names)}: {result.error}; trying again")
                        waiting[workers.submit(task)] = task
                        continue
                    results[task.folder] = result
                    if result.error and not stopping:
                        bar.note(f"{', '.join(task.names)}: {result.error}")
                if interruption.requested:
                    if not stopping:
                        bar.note("stopping: the runs under way write a checkpoint")
                    stopping = True
                    for task in workers.stop(waiting):
                        results[task.folder] = TaskResult(error=STOPPED)
        except BaseException:
            while waiting:
                workers.stop(waiting)
                waiting = {f: task for f, task in waiting.items() if not f.done()}
                wait(waiting, timeout=POLL)
            raise
    update_bar()
    return tuple(results[task.folder] for task in tasks)


class _Workers:
    """The executor, replaced when it breaks if there is a function that makes one."""

    def __init__(
        self, executor: Executor | Callable[[], Executor], work: Callable[[Task], TaskResult]
    ) -> None:
        self.make = None if isinstance(executor, Executor) else executor
        self.present = executor if isinstance(executor, Executor) else executor()
        self.work = work

    def submit(self, task: Task) -> Future[TaskResult]:
        """Submit a task."""
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

    def stop(self, waiting: Waiting) -> list[Task]:
        """Cancel and stop tasks; drop from ``waiting``, and return, those that go on elsewhere.

        Call it until nothing waits: a process that is just starting is stopped by a later call.
        """
        interrupt = getattr(self.present, "interrupt", None)
        if interrupt is not None:
            interrupt()
        for future, task in waiting.items():
            if not future.cancel():
                stop_task(task)
        if interrupt is not None or isinstance(self.present, ThreadPoolExecutor):
            return []
        # these cannot be stopped: they go on, and a continued sweep finds them finished
        return [waiting.pop(future) for future in list(waiting) if not future.done()]


def result_of(future: Future[TaskResult]) -> TaskResult:
    """The result of a task whose future has ended."""
    if future.cancelled():
        return TaskResult(error=STOPPED, retry=True)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenExecutor):
        text = DIED
    elif isinstance(error, CoopetitionError):
        text = str(error)
    else:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    return TaskResult(error=text, retry=True)
