"""One launch of a kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Launch:
    """One kernel, ready to run.

    Parameters
    ----------
    kernel
        A Triton kernel.
    grid
        Programs along each axis; the second is the member.
    arguments
        By name, in the kernel's order.
    warps
        Warps of a program.
    """

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]
    warps: int

    def __call__(self) -> None:
        """Put it on the current stream."""
        self.kernel[self.grid](**self.arguments, num_warps=self.warps, num_stages=1)
