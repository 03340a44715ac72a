"""A process that trains one task, and its parent, which starts it and waits.

The task is the first line of its standard input, the result the only line of its standard output.
When its standard input closes, because its parent closes it or dies, it writes a checkpoint and
ends.
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

PATIENCE = 10.0  # seconds to wait until another, stopping process leaves the folder
GRACE = 60.0  # seconds for the last checkpoint once standard input is closed
STOPPED, DIED = "interrupted; continue with --resume", "its worker died"

processes: dict[str, subprocess.Popen[str]] = {}  # children of this process, by folder
here = threading.local()  # ``device``: the CUDA device that this thread's processes see


def train_task(task: Task) -> TaskResult:
    """Train a task in a process of its own, from its newest checkpoint on, and wait for its end."""
    device = getattr(here, "device", None)
    # the child imports from the same paths, not first from the working directory
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
            processes[task.folder] = process
            line = process.stdout.readline()
            stopped = process.stdin.closed
    processes.pop(task.folder, None)
    if line.endswith("\n"):
        fields = json.loads(line)
        return TaskResult(**{**fields, "runs": tuple(fields["runs"])})
    return TaskResult(error=STOPPED if stopped else DIED, retry=True)


def stop_task(task: Task) -> None:
    """Have the child process that trains a task, if there is one, write a checkpoint and end."""
    process = processes.get(task.folder)
    if process is not None and process.stdin is not None:
        process.stdin.close()


def main() -> None:
    """Train the task on standard input and write its result to standard output."""
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
        os.kill(os.getpid(), signal.SIGTERM)  # which training handles
    time.sleep(GRACE)
    os._exit(1)


def train_here(task: Task) -> TaskResult:
    """Train a task in this process, unless it is finished, and record its end in its folder."""
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
    """Train a task in a folder that this process owns; its runs as `finished_runs` reads them."""
    import torch

    from ..loop import train_owned

    record_attempt(folder)
    if task.threads:
        torch.set_num_threads(task.threads)
    trained = train_owned(task.settings(), folder, resume=True, device=task.device, progress=False)
    runs = [
        {
            "name": run.settings.name,
            "folder": str(run.folder.relative_to(folder)),
            "sequences": run.sequences,
            "seconds": run.seconds,
            "diverged": run.diverged,
        }
        for run in trained
    ]
    record = {"members": task.members, "runs": runs}
    write_atomically(folder / FINISHED, json.dumps(record, indent=1))
    return runs


def record_attempt(folder: Path) -> None:
    """Record the process, the time and the newest checkpoint that an attempt begins with."""
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
