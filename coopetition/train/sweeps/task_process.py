"""Both ends of a process that trains one task: who begins it and waits, and what it does itself.

The task is the first line of its standard input; what came of it is the only line of its standard
output. When its standard input closes, because whoever began it says so or is dead, it writes a
checkpoint and ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ...errors import CoopetitionError, Interrupted
from ...files import write_atomically
from ..folder.ownership import FolderTaken, owned
from .tasks import ATTEMPTS, FINISHED, Task, TaskResult, finished_runs

PATIENCE = 10.0  # seconds to wait for another process that was told to stop to leave the folder
GRACE = 60.0  # seconds for the last checkpoint when nobody is left to wait for it
STOPPED, DIED = "interrupted; continue with --resume", "its worker died"

begun: dict[str, subprocess.Popen[str]] = {}  # processes that this one waits for, by folder
here = threading.local()  # ``device``: the CUDA device that this thread's processes see


def train_task(task: Task) -> TaskResult:
    """Train a task in a process of its own, from its newest checkpoint on, and wait for its end."""
    device = getattr(here, "device", None)
    # modules are looked for where this process finds them, not first in the working directory
    program = f"import sys; sys.path[:] = {sys.path}; from {__name__} import main; main()"
    line, stopped = "", False
    with (
        contextlib.suppress(BrokenPipeError),  # it died before it had read its task
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device}),
            start_new_session=True,  # a terminal's Ctrl-C reaches it by way of `stop_task`, once
        ) as process,
    ):
        if process.stdin is not None and process.stdout is not None:
            process.stdin.write(f"{json.dumps(dataclasses.asdict(task))}\n")
            process.stdin.flush()
            begun[task.folder] = process
            line = process.stdout.readline()
            stopped = process.stdin.closed
    begun.pop(task.folder, None)
    if line.endswith("\n"):
        said = json.loads(line)
        return TaskResult(**{**said, "runs": tuple(said["runs"])})
    return TaskResult(error=STOPPED if stopped else DIED, retry=True)


def stop_task(task: Task) -> None:
    """Have the process that trains a task, if this one began it, write a checkpoint and end."""
    process = begun.get(task.folder)
    if process is not None and process.stdin is not None:
        process.stdin.close()


def main() -> None:
    """Be the process that trains a task."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed goes to stderr
    line = sys.stdin.readline()
    if not line:
        return
    over = threading.Event()
    threading.Thread(target=end_with_input, args=(over,), daemon=True).start()
    result = train_here(Task(**json.loads(line)))
    over.set()
    answer.write(f"{json.dumps(dataclasses.asdict(result))}\n")
    answer.close()


def end_with_input(over: threading.Event) -> None:
    """Stop the process when its standard input closes, at the latest after `GRACE` seconds."""
    while os.read(0, 4096):  # not sys.stdin, whose lock would be held when the interpreter ends
        pass
    if not over.is_set():
        os.kill(os.getpid(), signal.SIGTERM)  # training takes note of it
    time.sleep(GRACE)
    os._exit(1)


def train_here(task: Task) -> TaskResult:
    """Train what is missing of a task in this process, and record its end in its folder."""
    folder = Path(task.folder)
    try:
        with owned(folder, patience=PATIENCE):
            runs = finished_runs(folder, task.members) or train_owned_task(task, folder)
    except (Interrupted, FolderTaken) as error:
        return TaskResult(error=str(error), retry=True)
    except (CoopetitionError, ValueError) as error:  # it would fail again
        return TaskResult(error=str(error))
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return TaskResult(error=text, retry=True)
    return TaskResult(runs=tuple(runs))


def train_owned_task(task: Task, folder: Path) -> list[dict[str, Any]]:
    """Train a task in a folder that this process owns; what `finished_runs` will say of it."""
    import torch

    from ..loop import train_owned

    record_attempt(folder)
    if task.threads:
        torch.set_num_threads(task.threads)
    done = [
        {
            "name": run.settings.name,
            "folder": str(run.folder.relative_to(folder)),
            "sequences": run.sequences,
            "seconds": run.seconds,
            "diverged": run.diverged,
        }
        for run in train_owned(
            task.settings(), folder, resume=True, device=task.device, progress=False
        )
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
