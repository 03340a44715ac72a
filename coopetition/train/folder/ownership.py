"""A folder belongs to one process at a time, and to nobody when that process is dead.

The lock is the operating system's (``flock``), not the file's existence: the kernel lets go of it
when its holder dies, however it dies, so nobody must judge whether a lock is stale. The file says
who holds it. Its holder removes it at the end; whoever then gets the lock of the removed file,
which would keep nobody out, sees that it is not there and tries again.
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
from typing import TextIO

from ...errors import TrainingError

LOCK = "owner.lock"
INTERVAL = 0.05  # seconds between two tries


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
        Whether a system or file system that knows no locks is refused, or done without.

    Raises
    ------
    FolderTaken
        If another process, or another owner in this one, still has it after that.
    TrainingError
        If the system or the folder's file system knows no locks, and they are required.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    while (file := taken(folder, required=required)) is None:
        if time.monotonic() >= deadline:
            raise FolderTaken(f"{folder} is being trained by {owner(folder)}")
        time.sleep(INTERVAL)
    with file:  # closing it lets go of the lock
        try:
            since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            says = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            file.truncate(0)
            file.write(json.dumps(says))
            file.flush()
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                for path in made:
                    path.rmdir()


def taken(folder: Path, *, required: bool) -> TextIO | None:
    """The file of a folder's lock, which is held while it is open; None if another holds it."""
    while True:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context((folder / LOCK).open("a+", encoding="utf-8"))
            if not locked(file.fileno(), folder, required=required):
                return None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samefile(folder / LOCK, file.fileno()):
                    opened.pop_all()
                    return file


def locked(descriptor: int, folder: Path, *, required: bool) -> bool:
    """Take the lock if nobody has it; whether it is taken, or may be done without.

    Raises
    ------
    TrainingError
        If there are no locks here, and they are required.
    """
    try:
        import fcntl
    except ImportError as error:  # not a POSIX system
        if not required:
            return True
        raise TrainingError(
            f"{folder} cannot be locked: this system has no flock; train its runs one by one"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if not required:
            return True
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
