"""The ways to take a training step on a GPU that are compared: ours, PyTorch's and JAX's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_clock import Spent
from plain_torch import PlainNetwork, plain_step
from train_step import CONTEXT, DEPTH, DIM, HEADS, WIDTH

from coopetition.settings.training import TrainingSettings
from coopetition.train.compute.gpu.capture import STRETCH
from coopetition.train.compute.triton.fused_step import FusedStep
from coopetition.train.ensemble import Ensemble

# kernels, capture, precision
OURS = {
    "ours: fused, captured": ("fused", "auto", "fp32"),
    "ours: fused, captured, tf32x3": ("fused", "auto", "tf32x3"),
    "ours: fused, step by step": ("fused", "off", "fp32"),
    "ours: plain, captured": ("plain", "auto", "fp32"),
    "ours: plain, step by step": ("plain", "off", "fp32"),
}
# of ensembles: kernels, precision, whether label rows wait (None: plain kernels have no choice)
ENSEMBLES: dict[str, tuple[str, str, bool | None]] = {
    "fused": ("fused", "fp32", False),
    "fused, lazy": ("fused", "fp32", True),
    "fused, tf32x3": ("fused", "tf32x3", False),
    "fused, tf32x3, lazy": ("fused", "tf32x3", True),
    "plain": ("plain", "fp32", None),
}


def run_settings(
    classes: int, batch: int, kernels: str, capture: str = "auto", seed: int = 0, **run: Any
) -> TrainingSettings:
    """The papers' two-layer run, with a batch size."""
    return TrainingSettings(
        name=f"seed{seed}",
        data={"n_classes": classes, "n_exemplars": 20, "dim": DIM, "spread": 0.8},
        network={"width": WIDTH, "heads": HEADS, "depth": DEPTH},
        optimisation={"batch_size": batch, "lr": 1e-5},
        evaluation={"n_sequences": 100, "batch_size": 100},
        run={"kernels": kernels, "capture": capture, "seed": seed, **run},
    )


def note(text: str) -> None:
    """Tell on stderr."""
    print(text, file=sys.stderr, flush=True)


def ours(
    members: list[TrainingSettings], device: torch.device, lazy: bool | None = None
) -> Ensemble:
    """An ensemble ready to be advanced, its graphs not yet recorded.

    ``lazy`` says whether label rows are updated only when shown; None leaves it to the package.
    Steps that differ from plain ones (`coopetition.train.compute.self_check`) are not timed.
    """
    ensemble = Ensemble(members, device)
    if ensemble.path is not None and ensemble.path.problems:
        raise RuntimeError(ensemble.path.summary())
    step = ensemble.step
    if lazy is not None and step.fused is not None:
        step.fused = FusedStep(step.network, step.optimiser, precision=step.matmul, lazy=lazy)
    ensemble.capture(STRETCH, note)
    return ensemble


def fixed_batch(classes: int, batch: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """One batch that the peers train on again and again: they need not draw any."""
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(batch, CONTEXT + 1, DIM, generator=generator)
    labels = torch.randint(classes, (batch, CONTEXT), generator=generator)
    return examples.to(device), labels.to(device), labels[:, 0].to(device)


def torch_peers(
    classes: int, batch: int, device: torch.device, compiled: bool
) -> dict[str, Callable[[], object]]:
    """What a PyTorch user writes, and compiles."""
    data = fixed_batch(classes, batch, device)

    def network() -> PlainNetwork:
        return PlainNetwork(classes=classes, dim=DIM).to(device)

    def called(step: Callable[..., object]) -> Callable[[], object]:
        return lambda: step(*data)

    peers = {
        "plain PyTorch": called(plain_step(network(), 1e-5)),
        "plain PyTorch, logits of every token": called(plain_step(network(), 1e-5, True)),
    }
    if compiled:
        peers["torch.compile"] = called(plain_step(torch.compile(network()), 1e-5))
        fast: Any = torch.compile(network(), mode="reduce-overhead")
        peers["torch.compile, reduce-overhead"] = called(plain_step(fast, 1e-5))
    return peers


def jax_peers(
    classes: int, batch: int, python: str, steps: int, cpu: bool
) -> tuple[dict[str, Spent], str]:
    """Times of JAX steps in a process of their own, and why there are none."""
    settings = {
        "batch": batch, "context": CONTEXT, "dim": DIM, "width": WIDTH, "heads": HEADS,
        "depth": DEPTH, "classes": [classes], "threads": os.cpu_count(), "warm_up": 3,
        "steps": steps, "stretch": STRETCH,
    }  # fmt: skip
    script = Path(__file__).with_name("plain_jax.py")
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if cpu:
        environment["JAX_PLATFORMS"] = "cpu"
    found: dict[str, Spent] = {}
    for name, scan in (("jitted JAX/Equinox", False), ("jitted JAX/Equinox, scan of 32", True)):
        command = [python, str(script), json.dumps({**settings, "scan": scan})]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            return found, f"{name}: {lines[-1] if lines else 'failed'}"
        median, fast = json.loads(done.stdout)[str(classes)]
        found[name] = Spent(1e3 * median, 1e3 * fast, float("nan"))
    return found, ""
