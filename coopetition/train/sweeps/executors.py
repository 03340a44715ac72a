"""Executors of tasks: this machine, a dask cluster, Slurm.

All are `concurrent.futures.Executor`s, so any other (mpi4py's, a user's own) serves as well. dask
and submitit are imported only when they are asked for. Workers elsewhere need the package and the
same file system under the same paths.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...errors import TrainingError, unknown_name
from .task_process import here

KINDS = ("local", "dask:ADDRESS", "slurm")
DASK_TIMEOUT = 30  # seconds to reach a scheduler


@contextlib.contextmanager
def open_executor(
    kind: str,
    *,
    workers: int | None = None,
    folder: Path,
    device: str = "auto",
    slurm: Mapping[str, Any] | None = None,
) -> Iterator[Executor]:
    """An executor by name (one of `KINDS`), shut down at the end of the context.

    ``workers`` are local processes (by default one for each CUDA device that ``device`` allows, or
    each CPU) or Slurm's jobs at one time (by default 16). ``folder`` is for scripts and logs of
    Slurm's jobs, ``slurm`` are parameters of submitit's ``AutoExecutor``, such as ``mem_gb``.
    """
    name, _, address = kind.partition(":")
    if name == "local" and not address:
        devices = cuda_devices() if device in ("auto", "cuda") else ()
        count = workers or len(devices) or available_cpus()
        with local_executor(count, devices=devices) as executor:
            yield executor
    elif name == "dask" and address:
        distributed = extra_package("distributed", kind, "dask")
        try:
            client = distributed.Client(address, timeout=DASK_TIMEOUT)
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"executor = {kind!r}: no dask scheduler answers ({error}); start one with "
                "'dask scheduler' and give its address, such as dask:tcp://host:8786"
            ) from error
        with client:
            # a task has effects: dask must not answer an equal call from its cache
            yield client.get_executor(pure=False)
    elif name == "slurm" and not address:
        submitit = extra_package("submitit", kind, "slurm")
        jobs = workers or 16
        with SubmititExecutor(submitit, folder, jobs=jobs, parameters=slurm or {}) as executor:
            yield executor
    else:
        raise unknown_name("executor", kind, KINDS)


def local_executor(workers: int, *, devices: Sequence[str] = ()) -> ThreadPoolExecutor:
    """Threads that wait for one process each; CUDA devices are assigned to them in turn."""
    if workers < 1:
        raise ValueError(f"workers = {workers}: at least 1 is needed")
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for worker in range(workers):
        free.put(devices[worker % len(devices)] if devices else None)

    def assign_device() -> None:
        here.device = free.get()

    return ThreadPoolExecutor(workers, "coopetition", initializer=assign_device)


def extra_package(package: str, kind: str, extra: str) -> Any:
    """The package behind an executor; ValueError with the extra where it is not installed."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"executor = {kind!r}: {package} is not installed; pip install 'coopetition[{extra}]'"
        )
    return importlib.import_module(package)


def available_cpus() -> int:
    """CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_devices() -> tuple[str, ...]:
    """CUDA devices this process sees, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    if not torch.cuda.is_available():
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return tuple(visible.split(",")[:count] if visible else map(str, range(count)))


class SubmititExecutor(ThreadPoolExecutor):
    """Threads that wait for at most ``jobs`` Slurm jobs; tests set ``cluster="local"``."""

    def __init__(
        self,
        submitit: Any,
        folder: Path,
        *,
        jobs: int,
        parameters: Mapping[str, Any],
        cluster: str = "slurm",
    ) -> None:
        try:
            self._slurm: Any = submitit.AutoExecutor(folder, cluster=cluster)
            self._slurm.update_parameters(**parameters)
        except RuntimeError as error:
            raise TrainingError(f"executor = 'slurm': {error}; run on a login node") from error
        except (NameError, TypeError, AssertionError) as error:
            raise ValueError(f"slurm = {dict(parameters)}: {error}") from error
        self._jobs: list[Any] = []
        super().__init__(jobs, "coopetition")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a job and wait for it in a thread."""
        return super().submit(self._result, fn, args, kwargs)

    def _result(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        job = self._slurm.submit(fn, *args, **kwargs)
        self._jobs.append(job)
        try:
            return job.result()
        finally:
            self._jobs.remove(job)

    def interrupt(self) -> None:
        """Cancel queued and running jobs."""
        for job in tuple(self._jobs):
            job.cancel()
