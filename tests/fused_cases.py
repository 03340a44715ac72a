"""Steps of the fused kernels beside the trainer's own, for the tests of both."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from small_networks import SMALL, random_batch, small_network

from coopetition.settings.training import OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.compute.triton.fused_step import FusedStep
from coopetition.train.compute.triton.layout import choose_tiles
from coopetition.train.network.network import Network
from coopetition.train.sequences.batch import Batch

# small tiles, so that the few labels of small networks fill several, and parts of several
CUT = {"labels": 16, "queries": 16, "update_labels": 16, "update_queries": 16, "label_rows": 16}
SLOWEST = {"four pairs, eight heads, three layers", "one-hot, many sequences"}
# members, sequences, pairs in context, network
CASES: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "the papers' two layers": (2, 2, 2, {"n_labels": 40}),
    "one pair, one head": (1, 5, 1, {"depth": 1, "heads": 1, "width": 16, "positions": "none"}),
    "four pairs, eight heads, three layers": (
        1, 4, 4, {"depth": 3, "heads": 8, "width": 64, "input_dim": 32, "final_norm": False},
    ),
    "rotary positions, biases, MLP": (
        1, 4, 2, {"heads": 2, "positions": "rotary", "mlp_ratio": 1.5, "bias": True},
    ),
    "eight pairs": (1, 2, 8, {"heads": 2, "width": 16, "positions": "sinusoidal"}),
    "wide": (1, 3, 1, {"width": 128, "heads": 2, "depth": 1, "mlp_ratio": 1.0, "bias": True}),
    "one-hot, many sequences": (1, 19, 1, {"width": 16, "depth": 1, "input": "onehot"}),
}  # fmt: skip


def pair(
    members: int,
    network: dict[str, Any],
    optimisation: OptimisationSettings | list[OptimisationSettings],
    device: str = "cpu",
) -> tuple[TrainingStep, TrainingStep]:
    """Two equal networks with optimizers of their own."""
    first, second = (
        TrainingStep(small_network(members, **network), optimisation, device=device)
        for _ in range(2)
    )
    return first, second


def fused(step: TrainingStep, batch: Batch, precision: str = "fp32") -> FusedStep:
    """The fused step on another's network and optimizer, cut into small tiles."""
    settings = step.network.settings
    members, count, context = batch.labels.shape
    # rows of both kinds of product
    of = "fp32" if members > 1 else "tf32"
    tiles = choose_tiles(members, count, context, settings, of)
    parts = -(-settings.n_labels // (2 * CUT["labels"]))
    tiles = dataclasses.replace(tiles, **CUT, per_part=2, parts=parts, outputs=64)
    return FusedStep(step.network, step.optimiser, precision=precision, tiles=tiles)


def to(batch: Batch, device: str) -> Batch:
    """The batch on a device."""
    parts = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return Batch(**{name: part.to(device) for name, part in parts.items()})


def shown(network: Network, count: int, context: int, seed: int = 0) -> Batch:
    """A random batch in which a label comes twice in one context and in two sequences."""
    batch = random_batch(network, count, context, seed)
    batch.labels[:, 0, :] = batch.labels[:, 0, :1]
    batch.labels[:, -1, 0] = batch.labels[:, 0, 0]
    batch.target[:, 0] = batch.labels[:, 0, 0]
    return to(batch, str(network.unembedding.weight.device))


def errors_of_gradients(
    case: str, precision: str = "fp32", device: str = "cpu"
) -> dict[str, float]:
    """Errors of loss and gradients of one step, relative to their norms.

    The gradients are read off the first moment, which is (1 − β₁) of them.
    """
    members, count, context, network = CASES[case]
    plain, other = pair(members, {**SMALL, **network}, OptimisationSettings(), device)
    batch = shown(plain.network, count, context)
    loss = fused(other, batch, precision)(batch)
    expected = {"loss": plain.differentiate(batch), **plain.optimiser.gradients.views}
    beta = other.settings.betas[0]
    found = {"loss": loss, **{
        name: moment / (1 - beta) for name, moment in other.optimiser.moments[0].views.items()
    }}  # fmt: skip
    return {
        name: float((found[name] - value).norm() / value.norm().clamp_min(1e-4))
        for name, value in expected.items()
    }


def largest_difference(first: TrainingStep, second: TrainingStep) -> dict[str, float]:
    """Largest difference of the weights, and of each moment relative to its largest entry."""
    ours, others = first.optimiser, second.optimiser
    differences = {"weights": (ours.parameters.flat - others.parameters.flat).abs().max()}
    for order, (own, other) in enumerate(zip(ours.moments, others.moments, strict=True)):
        scale = other.flat.abs().max()
        differences[f"moment {order + 1}"] = (own.flat - other.flat).abs().max() / scale
    return {name: float(torch.as_tensor(value)) for name, value in differences.items()}
