"""A folder belongs to one process at a time, and to nobody when that process is dead.

The lock is the operating system's (``flock``), not the file's existence: the kernel lets go of it
when its holder dies, however it dies, so nobody must judge whether a lock is stale. The file says
who holds it. It is never removed: a lock on a removed file would keep nobody out.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import TrainingError

LOCK = "owner.lock"
INTERVAL = 0.05  # seconds between two tries


class FolderTaken(TrainingError):
    """Another process is at work in the folder."""


@contextlib.contextmanager
def owned(folder: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Own a folder, which is made if need be, for as long as the context lasts.

    Parameters
    ----------
    folder
        The folder.
    patience
        Seconds to wait for another owner to let go.

    Raises
    ------
    FolderTaken
        If another process, or another owner in this one, still has it after that.
    TrainingError
        If the system or the folder's file system knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + patience
        while not locked(file.fileno(), folder):
            if time.monotonic() >= deadline:
                raise FolderTaken(f"{folder} is being trained by {owner(folder)}")
            time.sleep(INTERVAL)
        file.truncate(0)
        since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        says = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        file.write(json.dumps(says))
        file.flush()
        yield  # closing the file lets go of the lock


def locked(descriptor: int, folder: Path) -> bool:
    """Take the lock if nobody has it; whether it was taken.

    Raises
    ------
    TrainingError
        If there are no locks here.
    """
    try:
        import fcntl
    except ImportError as error:  # not a POSIX system
        raise TrainingError(
            f"{folder} cannot be locked: this system has no flock; train its runs one by one"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be locked ({error.strerror}); put it on a file system with flock"
        ) from error
    return True


def owner(folder: Path) -> str:
    """Who says to own the folder, in words."""
    try:
        says = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return f"process {says['process']} on {says['host']} since {says['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
