"""Training of a sweep: missing runs are trained, finished ones are read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import CheckpointError, LogError
from ...files import provenance, write_atomically
from ...logs import read_curves
from ...settings.training import TrainingSettings, checked_name
from ..folder.ownership import owned
from .dispatch import SweepBar, dispatch
from .sweep import Sweep
from .tasks import Task, TaskResult, count_attempts, finished_runs, make_tasks

if TYPE_CHECKING:
    from ...curves.curve import Curves

RECORD = "sweep.json"  # how runs are grouped into folders
Status = Literal["finished", "diverged", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SweptRun:
    """The result of one run of a sweep."""

    settings: TrainingSettings
    folder: Path
    status: Status  # diverged: the loss ceased to be finite, where the curves end
    error: str  # the reason of a failure, or empty
    attempts: int  # times it was begun or continued
    sequences: int | None  # seen at its end; None if it has not ended
    seconds: float | None  # training time of its whole ensemble
    curves: Curves | None  # also of a run that failed half-way


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """All runs of a sweep, in its order.

    Parameters
    ----------
    sweep
        The sweep's settings.
    folder
        The sweep's folder.
    runs
        The result of each run.
    """

    sweep: Sweep
    folder: Path
    runs: tuple[SweptRun, ...]

    @property
    def failed(self) -> tuple[SweptRun, ...]:
        """The runs that failed, diverged or were interrupted."""
        return tuple(run for run in self.runs if run.status != "finished")

    def summary(self) -> str:
        """The number of finished runs, and a line for each other."""
        done = len(self.runs) - len(self.failed)
        lines = [f"{self.sweep.name}: {done} of {len(self.runs)} runs finished in {self.folder}"]
        lines += [f"{run.settings.name}: {run.status}: {run.error}" for run in self.failed]
        return "\n".join(lines)


def train_sweep(
    sweep: Sweep,
    folder: str | Path,
    *,
    executor: Executor | Callable[[], Executor],
    resume: bool = False,
    retries: int = 2,
    device: str = "auto",
    largest: int = 1,
    threads: int = 1,
    progress: bool = True,
    about: Mapping[str, Any] | None = None,
    inputs: Iterable[Path] = (),
) -> SweepResult:
    """Train the runs of a sweep, each run or ensemble in a process of its own.

    Each run goes into a folder of its own below ``folder``, by its name (an ensemble's into one
    below the ensemble's), as `coopetition.train.loop.train` leaves it. A run whose process dies is
    continued by another from its newest checkpoint, with the curves it would have had.

    Parameters
    ----------
    sweep
        The runs.
    folder
        The sweep's folder.
    executor
        Each of its workers starts one process at a time and waits for it. A pool that breaks as a
        whole when a worker dies, as ``ProcessPoolExecutor`` does, is better given as a function
        that makes one: a fresh pool then replaces it.
    resume
        Continue the sweep in the folder: runs finished with the same settings are not trained
        again, others continue from their checkpoints, new ones begin.
    retries
        How often to try a run again when its process dies.
    device
        ``auto``, ``cpu``, ``cuda``, … as the worker sees it.
    largest
        Most runs in an ensemble. On a CPU more than one gains nothing; on a GPU dozens train in
        little more than the time of one.
    threads
        CPU threads of a worker, where the runs' settings name none.
    progress
        Whether to show on stderr how many runs are done, running and failed.
    about
        Further facts to record, such as the command.
    inputs
        Files the sweep was made from; their checksums are recorded.

    Returns
    -------
    SweepResult
        All runs, also failed ones: a failure stops no other run.

    Raises
    ------
    ValueError
        If the folder holds a sweep or a run and ``resume`` is not set.
    CheckpointError
        If the record of the sweep in the folder is damaged.
    FolderTaken
        If another process trains the sweep.
    """
    folder = Path(folder).expanduser()
    if (folder / "settings.yaml").exists() or ((folder / RECORD).exists() and not resume):
        raise ValueError(
            f"{folder} holds {'a sweep' if (folder / RECORD).exists() else 'a run'} already: "
            "continue it with --resume, or choose another folder"
        )
    with owned(folder):
        begun = recorded_groups(folder)
        tasks = make_tasks(
            sweep.members, folder, largest=largest, begun=begun, device=device, threads=threads
        )
        groups = {Path(task.folder).name: list(task.names) for task in tasks}
        names = {name for together in groups.values() for name in together}
        groups |= {name: runs for name, runs in begun.items() if names.isdisjoint(runs)}
        origin = provenance("train", {"sweep": sweep.name, **(about or {})}, inputs=inputs)
        write_atomically(folder / RECORD, json.dumps({**origin, "groups": groups}, indent=1))
        results = {
            task.folder: TaskResult(runs=tuple(ended))
            for task in tasks
            if (ended := finished_runs(Path(task.folder), task.members))
        }
        missing = [task for task in tasks if task.folder not in results]
        with contextlib.closing(SweepBar(len(names), sweep.name, shown=progress)) as bar:
            already = sum(len(result.runs) for result in results.values())
            new = dispatch(missing, executor, retries=retries, bar=bar, already=already)
        results |= {task.folder: result for task, result in zip(missing, new, strict=True)}
    swept = {
        run.settings.name: run for task in tasks for run in runs_of(task, results[task.folder])
    }
    runs = tuple(swept[member.name] for member in sweep.members)
    return SweepResult(sweep=sweep, folder=folder, runs=runs)


def recorded_groups(folder: Path) -> dict[str, list[str]]:
    """The runs by task folder, as recorded when the sweep was begun; empty where none was."""
    try:
        groups = json.loads((folder / RECORD).read_text(encoding="utf-8"))["groups"]
        return {
            checked_name(str(name)): [checked_name(str(run)) for run in runs]
            for name, runs in groups.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # in other groups, runs would be trained again
        path = folder / RECORD
        raise CheckpointError(f"{path} is damaged ({error}); choose another folder") from error


def runs_of(task: Task, result: TaskResult) -> Iterator[SweptRun]:
    """The result of each run of a task, with its curves if it has any."""
    base = Path(task.folder)
    records = {str(run["name"]): run for run in result.runs}
    for settings in task.settings():
        ended = records.get(settings.name)
        folder = base if len(task.members) == 1 else base / settings.name
        status: Status = "failed" if ended is None else "finished"
        error = result.error
        if ended is not None and ended["diverged"]:
            status, error = "diverged", "the loss is no longer finite; lower optimisation.lr"
        try:
            curves = read_curves(folder)[0]
        except (LogError, OSError) as missing:
            curves = None
            if ended is not None:
                status, error = "failed", f"finished, but its curves cannot be read: {missing}"
        yield SweptRun(
            settings=settings,
            folder=folder,
            status=status,
            error=error,
            attempts=count_attempts(base),
            sequences=None if ended is None else int(ended["sequences"]),
            seconds=None if ended is None else float(ended["seconds"]),
            curves=curves,
        )
