"""Ctrl-C and a scheduler's SIGTERM, taken note of and acted on between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """While active, remembers that the process was asked to stop instead of stopping it.

    A second Ctrl-C stops at once. Outside the main thread, where Python allows no handlers, it
    does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.take_note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def take_note(self, number: int, frame: FrameType | None) -> None:
        """Remember the request; raise on the second."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
