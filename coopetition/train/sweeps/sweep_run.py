"""A sweep from its settings to its tables: what is missing is trained, what is there is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import CheckpointError, LogError
from ...files import provenance, write_atomically
from ...logs import read_curves
from ...settings.training import TrainingSettings
from ..folder.ownership import owned
from .dispatch import Silence, SweepBar, Watcher, dispatch
from .sweep import Sweep
from .tasks import Task, TaskResult, count_attempts, finished_runs, make_tasks

if TYPE_CHECKING:
    from ...curves.curve import Curves

RECORD = "sweep.json"  # how runs are grouped into folders
Status = Literal["finished", "diverged", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SweptRun:
    """One run of a sweep.

    Parameters
    ----------
    settings
        Its settings.
    folder
        Where it is.
    status
        ``finished``, ``diverged`` (its loss ceased to be finite, its curves end before) or
        ``failed``.
    error
        Why it failed; empty where it did not.
    attempts
        How often it was begun or continued.
    sequences, seconds
        Training sequences seen and time taken (of the whole ensemble) when it ended; None where it
        has not.
    curves
        What was measured, also by a run that failed half-way; None where nothing was.
    """

    settings: TrainingSettings
    folder: Path
    status: Status
    error: str
    attempts: int
    sequences: int | None
    seconds: float | None
    curves: Curves | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """All runs of a sweep, in its order.

    Parameters
    ----------
    sweep
        What was wanted.
    folder
        Where it is.
    runs
        What came of it.
    """

    sweep: Sweep
    folder: Path
    runs: tuple[SweptRun, ...]

    @property
    def failed(self) -> tuple[SweptRun, ...]:
        """The runs without an end: failed, diverged or interrupted."""
        return tuple(run for run in self.runs if run.status != "finished")

    def summary(self) -> str:
        """How many runs came to an end, and a line for each that did not."""
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
    """Train the runs of a sweep on the workers of an executor.

    Each run goes into a folder of its own below ``folder``, by its name (an ensemble's into one
    below the ensemble's), as `coopetition.train.loop.train` leaves it. A run whose worker dies is
    continued by another from its newest checkpoint, with the curves it would have had.

    Parameters
    ----------
    sweep
        The runs.
    folder
        Where they go.
    executor
        Who trains; see `coopetition.train.sweeps.dispatch.dispatch`.
    resume
        Continue the sweep in the folder: runs finished with the same settings are not trained
        again, others go on from their checkpoints, new ones are begun.
    retries
        How often a run is tried again whose worker died.
    device
        ``auto``, ``cpu``, ``cuda``, … as the worker sees it.
    largest
        Most runs that a worker trains as one ensemble. On a CPU more than one gains nothing; on a
        GPU dozens train in little more than the time of one.
    threads
        CPU threads of a worker, where the runs' settings leave it open.
    progress
        Whether to show on stderr how many runs are done, running and failed.
    about
        What else to record, such as the command.
    inputs
        Files the sweep was made from; their checksums are recorded.

    Returns
    -------
    SweepResult
        With those that failed: one failure stops no other run.

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
        made = provenance("train", {"sweep": sweep.name, **(about or {})}, inputs=inputs)
        write_atomically(folder / RECORD, json.dumps({**made, "groups": groups}, indent=1))
        watcher: SweepBar | Silence = SweepBar(len(names), sweep.name) if progress else Silence()
        try:
            outcomes = done_and_missing(tasks, executor, retries, watcher)
        finally:
            watcher.close()
    return swept(sweep, folder, tasks, outcomes)


def recorded_groups(folder: Path) -> dict[str, list[str]]:
    """The runs by task folder, as recorded when the sweep was begun; empty where none was.

    Raises
    ------
    CheckpointError
        If the record is damaged: grouped otherwise, runs would be trained again.
    """
    try:
        groups = json.loads((folder / RECORD).read_text(encoding="utf-8"))["groups"]
        return {str(name): [str(run) for run in runs] for name, runs in groups.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / RECORD} is damaged ({error}); choose another folder"
        ) from error


def done_and_missing(
    tasks: tuple[Task, ...],
    executor: Executor | Callable[[], Executor],
    retries: int,
    watcher: Watcher,
) -> dict[str, TaskResult]:
    """The outcome of each task by folder; only those not finished go to the executor."""
    outcomes = {
        task.folder: TaskResult(names=task.names, runs=tuple(runs))
        for task in tasks
        if (runs := finished_runs(Path(task.folder), task.members))
    }
    missing = [task for task in tasks if task.folder not in outcomes]
    already = sum(len(outcome.names) for outcome in outcomes.values())
    found = dispatch(missing, executor, retries=retries, watcher=watcher, already=already)
    return outcomes | {task.folder: outcome for task, outcome in zip(missing, found, strict=True)}


def swept(
    sweep: Sweep, folder: Path, tasks: tuple[Task, ...], outcomes: Mapping[str, TaskResult]
) -> SweepResult:
    """The result, with the curves that are there."""
    of_name: dict[str, SweptRun] = {}
    for task in tasks:
        outcome = outcomes[task.folder]
        ended = {str(run["name"]): run for run in outcome.runs}
        for settings in task.settings():
            of_name[settings.name] = swept_run(settings, task, outcome, ended.get(settings.name))
    runs = tuple(of_name[member.name] for member in sweep.members)
    return SweepResult(sweep=sweep, folder=folder, runs=runs)


def swept_run(
    settings: TrainingSettings, task: Task, outcome: TaskResult, ended: Mapping[str, Any] | None
) -> SweptRun:
    """One run's result; ``ended`` is what the worker said of it, None after a failure."""
    base = Path(task.folder)
    folder = base if len(task.members) == 1 else base / settings.name
    error = outcome.error
    status: Status = "failed" if ended is None else "finished"
    if ended is not None and ended["diverged"]:
        status, error = "diverged", "the loss is no longer finite; lower optimisation.lr"
    try:
        curves = read_curves(folder)[0]
    except (LogError, OSError) as missing:
        curves = None
        if ended is not None:
            status, error = "failed", f"finished, but its curves cannot be read: {missing}"
    return SweptRun(
        settings=settings,
        folder=folder,
        status=status,
        error=error,
        attempts=count_attempts(base),
        sequences=None if ended is None else int(ended["sequences"]),
        seconds=None if ended is None else float(ended["seconds"]),
        curves=curves,
    )
