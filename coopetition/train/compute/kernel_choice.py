"""What computes a training step: fused kernels, PyTorch's operations or hand-written gradients.

=============  ==================================  =================================================
``kernels``    on a GPU                            on a CPU
=============  ==================================  =================================================
``auto``       PyTorch's own operations            hand-written where that serves, or PyTorch's own
``fused``      fused (experimental), or refused    refused (Triton's interpreter apart)
``plain``      PyTorch's own operations            PyTorch's own operations
=============  ==================================  =================================================

All of them compute the same step to float tolerance; on one machine each repeats itself bit by bit.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from ...settings.training import Kernels, Matmul
from ..network.network import Network
from ..optimisation.optimiser import Optimiser

if TYPE_CHECKING:  # loaded where fused kernels are asked for
    from .triton import FusedStep

EXPERIMENTAL = "fused kernels are experimental: run.kernels = fused takes them"


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelChoice:
    """What computes a step, and why not something faster."""

    kernels: Literal["fused", "written", "plain"]  # written: the CPU's hand-written gradients
    reason: str = ""  # empty where nothing is faster

    def summary(self) -> str:
        """In a few words."""
        return f"{self.kernels} kernels" + (f" ({self.reason})" if self.reason else "")


def choose_kernels(
    kernels: Kernels, network: Network, optimiser: Optimiser, matmul: Matmul
) -> tuple[KernelChoice, FusedStep | None]:
    """What computes a network's steps; refuses kernels or a precision that cannot be had here."""
    if kernels == "fused":
        from .triton import fused_step_for  # the only place that knows of Triton

        fused = fused_step_for(network, optimiser, matmul)
        if isinstance(fused, str):
            raise ValueError(f"run.kernels = 'fused': {fused}; use auto or plain")
        return KernelChoice(kernels="fused"), fused
    if matmul == "tf32x3":
        raise ValueError(
            f"run.matmul = 'tf32x3': only fused kernels have such products, and run.kernels = "
            f"{kernels!r}; use fp32 or tf32, or run.kernels = fused (experimental)"
        )
    if kernels == "plain":
        return KernelChoice(kernels="plain", reason="run.kernels = plain"), None
    if network.unembedding.weight.device.type != "cpu":
        return KernelChoice(kernels="plain", reason=EXPERIMENTAL), None
    from .cpu.gradients import unsupported

    rounded = "" if matmul == "fp32" else f"matrix products are in {matmul}"
    reason = rounded or unsupported(network, optimiser.settings[0])
    return KernelChoice(kernels="plain" if reason else "written", reason=reason), None
