"""Which device a run computes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is the first CUDA device, or else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device = {name!r}: use auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ValueError(
            f"device = {name!r}: PyTorch sees {torch.cuda.device_count()} CUDA devices; use cpu"
        )
    return device


def on_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Launch kernels on this GPU, which need not be the process's first, while this is active."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of CPU threads (0: its own choice) while this is active."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
