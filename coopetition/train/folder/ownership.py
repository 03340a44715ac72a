"""A folder belongs to one process at a time, and to nobody when that process is dead.

The lock is the operating system's, which lets go of it when its holder dies, however it dies, so
that nobody must judge whether a lock is stale. A file beside it says who holds it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import TrainingError

LOCK, OWNER = "owner.lock", "owner.json"


class FolderTaken(TrainingError):
    """Another process is at work in the folder."""


@contextlib.contextmanager
def owned(folder: Path, *, patience: float = 0.0, required: bool = True) -> Iterator[None]:
    """Own a folder, which is made if need be, for as long as the context lasts.

    What was made is removed at the end, unless it holds more.

    Parameters
    ----------
    folder
        The folder.
    patience
        Seconds to wait for another owner to let go.
    required
        Whether a file system that knows no locks is refused, or done without.

    Raises
    ------
    FolderTaken
        If another process, or another owner in this one, still has it after that.
    TrainingError
        If the folder's file system knows no locks, and they are required.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise FolderTaken(f"{folder} is being trained by {owner(folder)}") from error
    except OSError as error:
        if required:
            raise TrainingError(
                f"{folder} cannot be locked ({error.strerror}); put it on a file system with flock"
            ) from error
    try:
        since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        says = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        (folder / OWNER).write_text(json.dumps(says), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / OWNER).unlink()
            (folder / LOCK).unlink()  # before it is released, for then it may be another's
            for path in made:
                path.rmdir()
        lock.release()


def owner(folder: Path) -> str:
    """Who says to own the folder, in words."""
    try:
        says = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {says['process']} on {says['host']} since {says['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
