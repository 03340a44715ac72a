"""In which precision training's matrix products are computed.

``fp32`` keeps every bit of float32. ``tf32x3`` computes a float32 product as three TF32 products,
equal but for the last bits; only fused kernels have it. ``tf32`` rounds the factors of products
(and of a ResNet's convolutions) to 10 bits of mantissa. Both need an Ampere GPU or a newer one.
``bf16`` computes products in bfloat16 (autocast); weights, gradients, moments and the loss stay
float32.
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
    if device.type == "cpu" and matmul in ("tf32", "tf32x3"):
        raise ValueError(f"run.matmul = {matmul!r}: a CPU has no such products; use fp32 or bf16")
    if matmul == "fp32" or device.type != "cuda":
        return
    if torch.cuda.get_device_capability(device) < AMPERE:
        raise ValueError(
            f"run.matmul = {matmul!r}: {torch.cuda.get_device_name(device)} has no such products; "
            "use fp32"
        )


@contextlib.contextmanager
def products(matmul: Matmul, device: torch.device) -> Iterator[None]:
    """Set PyTorch's switches for the precision of a GPU's products while this is active."""
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    value: str | bool = "tf32" if matmul == "tf32" else "ieee"
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        switches, name = (backends.cuda.matmul, backends.cudnn.conv), "fp32_precision"
    else:  # before PyTorch 2.9
        switches, name = (backends.cuda.matmul, backends.cudnn), "allow_tf32"
        value = matmul == "tf32"
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, value)
        yield
    finally:
        for switch, old in zip(switches, before, strict=True):
            setattr(switch, name, old)


def autocast(matmul: Matmul, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Compute a forward pass in bfloat16, if that is the precision, while this is active."""
    if matmul != "bf16":
        return contextlib.nullcontext()
    # inside a CUDA graph a cache of cast weights would outlive what it holds
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
