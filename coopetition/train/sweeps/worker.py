"""What a worker does with a task: own its folder, train what is missing, record the end."""

from __future__ import annotations

import datetime
import json
import os
import socket
from pathlib import Path

from ...errors import CoopetitionError, Interrupted
from ...files import write_atomically
from ..folder.ownership import FolderTaken, owned
from .tasks import ATTEMPTS, FINISHED, Task, TaskResult, finished_runs

PATIENCE = 10.0  # seconds a worker waits for one that was told to stop, to write its checkpoint


def train_task(task: Task) -> TaskResult:
    """Train a task to its end, from its newest checkpoint if there is one.

    A failure that the package states becomes an outcome, so that it crosses machines whole; any
    other exception is the executor's to carry.
    """
    folder = Path(task.folder)
    try:
        with owned(folder, patience=PATIENCE):
            done = finished_runs(folder, task.members) or train_here(task, folder)
    except (Interrupted, FolderTaken) as error:
        return TaskResult(names=task.names, error=str(error), retry=True)
    except (CoopetitionError, ValueError) as error:
        return TaskResult(names=task.names, error=str(error))
    return TaskResult(names=task.names, runs=tuple(done))


def train_here(task: Task, folder: Path) -> list[dict[str, object]]:
    """Train in the folder, which is this process's own, and record that it is finished."""
    import torch

    from ..loop import train_owned

    record_attempt(folder)
    if task.threads:
        torch.set_num_threads(task.threads)
    runs = train_owned(task.settings(), folder, resume=True, device=task.device, progress=False)
    done: list[dict[str, object]] = [
        {
            "name": run.settings.name,
            "folder": str(run.folder.relative_to(folder)),
            "sequences": run.sequences,
            "seconds": run.seconds,
            "diverged": run.diverged,
        }
        for run in runs
    ]
    record = {"members": task.members, "runs": done}
    write_atomically(folder / FINISHED, json.dumps(record, indent=1))
    return done


def record_attempt(folder: Path) -> None:
    """Write down who begins when, and from how many sequences at best."""
    from ..folder.checkpoints import FOLDER

    reached = [int(path.stem) for path in (folder / FOLDER).glob("*.json")]
    attempt = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "begun": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "from_sequences": max(reached, default=0),
    }
    with (folder / ATTEMPTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(attempt) + "\n")
