"""In which precision training's matrix products are computed.

``fp32`` keeps every bit of float32. ``tf32x3`` puts three products of TF32 in place of one of
float32, which differ from it in the last bits; only fused kernels have it. ``tf32`` rounds the
factors of products (and of a ResNet's convolutions) to 10 bits of mantissa. Both need a GPU since
Ampere. ``bf16`` computes products and what can bear it in bfloat16 (autocast); weights, gradients,
moments and the loss stay float32.

Process-wide switches are set while a run trains and put back as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from ...settings.training import Matmul

AMPERE = (8, 0)  # compute capability from which there are tf32 and bf16 products


def check_precision(matmul: Matmul, device: torch.device) -> None:
    """Refuse a precision that the device does not have."""
    if device.type == "cpu":
        if matmul in ("tf32", "tf32x3"):
            raise ValueError(
                f"run.matmul = {matmul!r}: a CPU has no such products; use fp32 or bf16"
            )
        return
    if matmul == "fp32" or device.type != "cuda":
        return
    capability = torch.cuda.get_device_capability(device)
    if capability < AMPERE:
        raise ValueError(
            f"run.matmul = {matmul!r}: {torch.cuda.get_device_name(device)} has no such products; "
            "use fp32"
        )


@contextlib.contextmanager
def products(matmul: Matmul, device: torch.device) -> Iterator[None]:
    """Compute a GPU's matrix products in a precision while this is active."""
    if device.type != "cuda":
        yield
        return
    wanted = "tf32" if matmul == "tf32" else "ieee"
    backends: Any = torch.backends
    value: str | bool = wanted
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        switches, name = (backends.cuda.matmul, backends.cudnn.conv), "fp32_precision"
    else:  # before PyTorch 2.9
        switches, name = (backends.cuda.matmul, backends.cudnn), "allow_tf32"
        value = wanted == "tf32"
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, value)
        yield
    finally:
        for switch, old in zip(switches, before, strict=True):
            setattr(switch, name, old)


def autocast(matmul: Matmul, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Where a forward pass computes in bfloat16, if that is the precision.

    Casts of weights are not cached: inside a CUDA graph a cache would outlive what it holds.
    """
    if matmul != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
