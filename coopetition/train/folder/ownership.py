"""Ownership of a folder: one process at a time trains in it.

The operating system releases the lock when its holder dies, so a lock is never stale. A file beside
it says who holds it.
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
    """Own a folder within the context; it is made if need be, and removed again if left empty.

    ``patience`` is how many seconds to wait for another owner, then FolderTaken is raised. Where
    the file system has no locks, TrainingError is raised, or with ``required=False`` none is taken.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
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
        record = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
        (folder / OWNER).write_text(json.dumps(record), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / OWNER).unlink()
            (folder / LOCK).unlink()  # before the release: afterwards it may be another's
            for path in missing:
                path.rmdir()
        lock.release()


def owner(folder: Path) -> str:
    """The owner that the folder's record names, in words."""
    try:
        record = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {record['process']} on {record['host']} since {record['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
