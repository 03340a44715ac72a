"""What computes a training step: fused kernels, PyTorch's operations or written-out gradients.

=============  ==================================  =================================================
``kernels``    on a GPU                            on a CPU
=============  ==================================  =================================================
``auto``       fused where that serves, or plain   written out where that serves, or plain
``fused``      fused, or refused with the reason   refused (Triton's interpreter apart)
``plain``      PyTorch's own operations            PyTorch's own operations
=============  ==================================  =================================================

All of them compute the same step to float tolerance; on one machine each repeats itself bit by bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Literal

from ...errors import TrainingError
from ...settings.training import Kernels, Matmul, OptimisationSettings
from ..network.network import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelChoice:
    """What computes a step, and why.

    Parameters
    ----------
    kernels
        ``fused`` (`coopetition.train.compute.triton`), ``written``
        (`coopetition.train.compute.cpu.gradients`) or ``plain`` (automatic differentiation).
    reason
        Why not something faster; empty where there is nothing faster.
    """

    kernels: Literal["fused", "written", "plain"]
    reason: str = ""

    def summary(self) -> str:
        """In a few words."""
        return f"{self.kernels} kernels" + (f" ({self.reason})" if self.reason else "")


def choose_kernels(
    wanted: Kernels, network: Network, settings: OptimisationSettings, matmul: Matmul
) -> KernelChoice:
    """What computes the steps of a network that is on its device already.

    Raises
    ------
    ValueError
        If fused kernels are wanted, or a precision that only they have, where they cannot serve.
    """
    choice = chosen(wanted, network, settings, matmul)
    if matmul == "tf32x3" and choice.kernels != "fused":
        raise ValueError(
            f"run.matmul = 'tf32x3': only fused kernels have such products, and these do not serve "
            f"({choice.reason}); use fp32 or tf32"
        )
    return choice


def chosen(
    wanted: Kernels, network: Network, settings: OptimisationSettings, matmul: Matmul
) -> KernelChoice:
    """What would compute the steps, were there no precision but float32's."""
    on_cpu = network.unembedding.weight.device.type == "cpu"
    if wanted == "plain":
        return KernelChoice(kernels="plain", reason="run.kernels = plain")
    if wanted == "auto" and on_cpu:
        from .cpu.gradients import unsupported

        rounded = "" if matmul == "fp32" else f"matrix products are in {matmul}"
        reason = rounded or unsupported(network, settings)
        return KernelChoice(kernels="plain" if reason else "written", reason=reason)
    from .triton import why_not_fused

    reason = why_not_fused(network, settings)
    if not reason:
        return KernelChoice(kernels="fused")
    if wanted == "fused":
        raise ValueError(f"run.kernels = 'fused': {reason}; use auto or plain")
    return KernelChoice(kernels="plain", reason=reason)


@contextlib.contextmanager
def compiled_here() -> Iterator[None]:
    """Say what to do where fused kernels cannot be compiled for this GPU, or do not fit it.

    Raises
    ------
    TrainingError
        In place of what Triton raises.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("triton"):
            raise
        raise TrainingError(
            f"the fused kernels cannot be compiled here ({str(error).strip() or repr(error)}); "
            "train with run.kernels = plain"
        ) from error
