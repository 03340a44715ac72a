"""Where tasks are trained: on this machine, by a dask cluster, by Slurm.

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
from typing import Any, ParamSpec, TypeVar

from ...errors import TrainingError, unknown_name
from .task_process import here

KINDS = ("local", "dask:ADDRESS", "slurm")
DASK_TIMEOUT = 30  # seconds to reach a scheduler

Result = TypeVar("Result")
Given = ParamSpec("Given")


@contextlib.contextmanager
def open_executor(
    kind: str,
    *,
    workers: int | None = None,
    folder: Path,
    device: str = "auto",
    slurm: Mapping[str, Any] | None = None,
) -> Iterator[Executor]:
    """An executor by name, shut down at the end of the context.

    Parameters
    ----------
    kind
        ``local``, ``dask:ADDRESS`` (of a scheduler) or ``slurm``.
    workers
        Local processes; jobs in Slurm at one time; dask has the workers it has. By default as many
        as there are CPUs, or CUDA devices if runs compute on those, and 16 jobs in Slurm.
    folder
        Where Slurm's jobs leave scripts and logs.
    device
        What the runs compute on.
    slurm
        Parameters of submitit's ``AutoExecutor``: ``timeout_min, slurm_partition, mem_gb, …``.

    Raises
    ------
    ValueError
        If there is no such executor, or what it needs is not installed.
    TrainingError
        If the scheduler cannot be reached.
    """
    name, _, address = kind.partition(":")
    if name == "local" and not address:
        devices = cuda_devices() if device in ("auto", "cuda") else ()
        with local_executor(
            workers or len(devices) or available_cpus(), devices=devices
        ) as executor:
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
            # a task has effects, so that the same call twice is not one call
            yield client.get_executor(pure=False)
    elif name == "slurm" and not address:
        submitit = extra_package("submitit", kind, "slurm")
        with SubmititExecutor(
            submitit, folder, jobs=workers or 16, parameters=slurm or {}
        ) as executor:
            yield executor
    else:
        raise unknown_name("executor", kind, KINDS)


def local_executor(workers: int, *, devices: Sequence[str] = ()) -> ThreadPoolExecutor:
    """Threads that wait for so many processes; each sees one CUDA device, round and round."""
    if workers < 1:
        raise ValueError(f"workers = {workers}: at least 1 is needed")
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for worker in range(workers):
        free.put(devices[worker % len(devices)] if devices else None)

    def take_device() -> None:
        here.device = free.get()

    return ThreadPoolExecutor(workers, "coopetition", initializer=take_device)


def extra_package(package: str, kind: str, extra: str) -> Any:
    """The package behind an executor; ValueError naming the extra where it is not installed."""
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


class SubmititExecutor(Executor):
    """Slurm jobs, at most ``jobs`` at one time, as futures of the standard library.

    ``parameters`` are those of submitit's ``AutoExecutor``; scripts, logs and results go into
    ``folder``; ``cluster="local"`` stands in for Slurm in tests.
    """

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
            self._submitit: Any = submitit.AutoExecutor(folder, cluster=cluster)
            self._submitit.update_parameters(**parameters)
        except RuntimeError as error:
            raise TrainingError(f"executor = 'slurm': {error}; run on a login node") from error
        except (NameError, TypeError, AssertionError) as error:
            raise ValueError(f"slurm = {dict(parameters)}: {error}") from error
        self._threads = ThreadPoolExecutor(jobs, "coopetition")
        self._jobs: list[Any] = []

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Submit a job and wait for it in a thread."""
        return self._threads.submit(self._call, lambda: self._submitit.submit(fn, *args, **kwargs))

    def _call(self, submit: Callable[[], Any]) -> Any:
        job = submit()
        self._jobs.append(job)
        try:
            return job.result()
        finally:
            self._jobs.remove(job)

    def interrupt(self) -> None:
        """Cancel what is queued or runs; a run goes on from its newest checkpoint."""
        for job in tuple(self._jobs):
            job.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those accepted."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
