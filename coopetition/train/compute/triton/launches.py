"""The launches of a step for batches of one shape: which kernel, on which grid, with what."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from ....errors import TrainingError
from ...network.layers import Block
from ...network.network import Network
from ...optimisation import decay
from ...optimisation.optimiser import Optimiser
from ...sequences.batch import Batch
from .jobs import JobMaker
from .layout import LARGE_TILE, StepMemory, Tiles, power_of_two

PARTS_AT_ONCE = 32  # of the labels, when their sums are put together
NO_LOG = -1e30  # of 0: finite, so that 0⁰ = 1
# the kernels' names for weights, of the first block and around the blocks, and ours
OURS = {
    "attention_norm": "blocks.0.attention_norm",
    "qkv_weight": "blocks.0.attention.qkv",
    "projection": "blocks.0.attention.projection",
    "mlp_norm": "blocks.0.mlp_norm",
    "inner": "blocks.0.mlp.inner",
    "outer": "blocks.0.mlp.outer",
    "exemplar": "exemplar",
    "final_norm": "norm",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Launch:
    """A Triton kernel with its grid (programs, members), its arguments by name, and its warps."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]
    warps: int

    def __call__(self) -> None:
        """Put it on the current stream; the first time it is compiled."""
        try:
            self.kernel[self.grid](**self.arguments, num_warps=self.warps, num_stages=1)
        except Exception as error:
            if not type(error).__module__.startswith("triton"):
                raise
            raise TrainingError(
                f"the fused kernels cannot be compiled here ({str(error).strip() or repr(error)}); "
                "train with run.kernels = plain"
            ) from error


class Numbers:
    """What Adam's kernels read: learning rates ``(M,)``, log β, λ ``(parameters, M)``."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser, device = optimiser, optimiser.parameters.flat.device
        self.rates = optimiser.rates(optimiser.steps).clone()
        logs = [math.log(beta) if beta else NO_LOG for beta in optimiser.settings[0].betas]
        self.logs = torch.tensor(logs, dtype=torch.float64, device=device)
        self.names = tuple(optimiser.parameters.views)
        strengths = [decay.strengths(optimiser.settings, name, device) for name in self.names]
        self.shrinks = torch.stack(strengths)

    def update_rates(self) -> None:
        """Bring learning rates that change to the present step."""
        if self.optimiser.rates.steady is None:
            self.rates.copy_(self.optimiser.rates(self.optimiser.steps))

    def shrink(self, name: str) -> Tensor:
        """λ of a parameter, shape ``(M,)``."""
        return self.shrinks[self.names.index(name)]


def trunk_weights(views: Mapping[str, Tensor]) -> dict[str, Any]:
    """Weights of the first block and around the blocks, and how far on the second block's lie."""
    anything = views["label.weight"]  # stands in for what a network lacks; kernels do not touch it
    weights: dict[str, Any] = {"label_weight": anything}
    for name, ours in OURS.items():
        weights[name] = views.get(f"{ours}.weight", anything)
        weights[name.removesuffix("_weight") + "_bias"] = views.get(f"{ours}.bias", anything)
    names = [f"blocks.{layer}.attention_norm.weight" for layer in (0, 1)]
    places = [int(views[name].storage_offset()) for name in names if name in views]
    return {**weights, "block_step": places[-1] - places[0]}


def trunk_arguments(
    network: Network, views: Mapping[str, Tensor], context: int, tiles: Tiles
) -> dict[str, Any]:
    """Arguments of both passes through the trunk, some of which only one has."""
    settings = network.settings
    attention = cast(Block, network.blocks[0]).attention
    rotation, anything = attention.rotation, views["label.weight"]
    position, positions_step = anything, 0
    if settings.positions == "learned":
        position, positions_step = views["position"], views["position"][0].numel()
    elif settings.positions == "sinusoidal":
        position = network.sinusoids
    return {
        **trunk_weights(views),
        "position": position,
        "cos": anything if rotation is None else rotation.cos,
        "sin": anything if rotation is None else rotation.sin,
        "n_labels": settings.n_labels,
        "positions_step": positions_step,
        "scale": attention.scale,
        "CONTEXT": context,
        "TOKENS": 2 * context + 1,
        "INPUTS": settings.input_dim,
        "WIDTH": settings.width,
        "HEADS": settings.heads,
        "DEPTH": settings.depth,
        "HIDDEN": round(settings.width * settings.mlp_ratio),
        "EXEMPLAR_BIAS": "exemplar.bias" in views,
        "POSITIONS": settings.positions in ("learned", "sinusoidal"),
        "ROTARY": rotation is not None,
        "BIAS": settings.bias,
        "FINAL_NORM": settings.final_norm,
        "ROWS": tiles.rows,
        "GROUP": tiles.group,
        "GROUP_TILE": power_of_two(tiles.group),
        "PAIRS": tiles.pairs,
        "TILE": power_of_two(2 * context + 1),
        "CHUNK": tiles.chunk,
        "INPUT_CHUNK": tiles.input_chunk,
    }


def adam_arguments(optimiser: Optimiser, numbers: Numbers) -> dict[str, Any]:
    """State and constants of the update, the parameters of the unembedding and labels."""
    (beta1, beta2), eps = optimiser.settings[0].betas, optimiser.settings[0].eps
    views, (first, second) = optimiser.parameters.views, optimiser.moments
    of = {"weight": "unembedding.weight", "bias": "unembedding.bias", "label": "label.weight"}
    return {
        **{f"first_{kind}": first.views[name] for kind, name in of.items()},
        **{f"second_{kind}": second.views[name] for kind, name in of.items()},
        **{f"{kind}_shrink": numbers.shrink(name) for kind, name in of.items()},
        "weight": views["unembedding.weight"],
        "bias": views["unembedding.bias"],
        "parameters": optimiser.parameters.flat,
        "first": first.flat,
        "second": second.flat,
        "shrinks": numbers.shrinks,
        "rates": numbers.rates,
        "logs": numbers.logs,
        "steps": optimiser.steps,
        "count": optimiser.count,
        "BETA1": beta1,
        "BETA2": beta2,
        "EPS": eps,
        "DECAY": optimiser.kind if optimiser.strengths else "none",
    }


class Launches:
    """Makes the launches of a step, for batches of B sequences with L pairs in context."""

    def __init__(
        self,
        network: Network,
        optimiser: Optimiser,
        numbers: Numbers,
        batch: int,
        context: int,
        tiles: Tiles,
        precision: str,
        lazy: bool = False,
    ) -> None:
        settings, device = network.settings, optimiser.parameters.flat.device
        self.tiles, self.settings, self.members = tiles, settings, network.members
        self.batch, self.context, self.lazy = batch, context, lazy
        self.groups = math.ceil(batch / tiles.group)
        self.work = StepMemory(settings, network.members, batch, context, tiles, device)
        views = optimiser.parameters.views
        maker = JobMaker(settings, batch, context, views, numbers.names, self.work, tiles)
        self.jobs = maker.table(device)
        # arguments of all kernels; `launch` picks a kernel's own
        self.shared: dict[str, Any] = {
            **self.work.views,
            **trunk_arguments(network, views, context, tiles),
            **adam_arguments(optimiser, numbers),
            "share": 1 / batch,
            "BATCH": batch,
            "PARTS": tiles.parts,
            "LAZY": lazy,
            "PRECISION": precision,
        }

    def all(self, batch: Batch) -> list[Launch]:
        """Every launch of a step, in an order in which they may run."""
        return [
            self.trunk_forward(batch),
            self.unembedding_forward(batch),
            self.unembedding_backward(batch),
            self.trunk_backward(),
            self.update_rest(batch),
        ]

    def trunk_forward(self, batch: Batch) -> Launch:
        """Tokens to normalised queries."""
        from .kernels.trunk import trunk_forward

        return self.launch(
            trunk_forward, (self.groups, self.members), self.tiles.trunk_warps,
            examples=batch.examples, labels=batch.labels,
        )  # fmt: skip

    def trunk_backward(self) -> Launch:
        """What the unembedding left to gradients of activations."""
        from .kernels.trunk import trunk_backward

        vectors = LARGE_TILE // (power_of_two(self.tiles.group) * self.settings.width)
        most = max(1, min(PARTS_AT_ONCE, vectors))
        return self.launch(
            trunk_backward, (self.groups, self.members), self.tiles.trunk_warps,
            AT_ONCE=min(most, power_of_two(self.tiles.parts)),
            NORMS=self.work.views["shares"].shape[2],
        )  # fmt: skip

    def unembedding_forward(self, batch: Batch) -> Launch:
        """Queries to loss and gradient, in parts."""
        from .kernels.unembedding import unembedding_forward

        tiles = self.tiles
        return self.launch(
            unembedding_forward,
            (tiles.parts, self.members, math.ceil(self.batch / tiles.queries)),
            tiles.logit_warps,
            target=batch.target, PER_PART=tiles.per_part, LABELS=tiles.labels,
            QUERIES=tiles.queries, CHUNK=tiles.logit_chunk,
        )  # fmt: skip

    def unembedding_backward(self, batch: Batch) -> Launch:
        """Gradient and update of the unembedding."""
        from .kernels.unembedding import unembedding_backward

        tiles = self.tiles
        return self.launch(
            unembedding_backward,
            (math.ceil(self.settings.n_labels / tiles.update_labels), self.members),
            tiles.update_warps,
            target=batch.target, LABELS=tiles.update_labels, QUERIES=tiles.update_queries,
            AT_ONCE=min(PARTS_AT_ONCE, power_of_two(tiles.parts)), CHUNK=tiles.update_chunk,
        )  # fmt: skip

    def update_rest(self, batch: Batch) -> Launch:
        """Gradients and updates of the trunk and the label embedding."""
        from .kernels.updates import update_rest

        tiles, shown = self.tiles, self.batch * self.context
        rows = 1 if self.lazy else tiles.label_rows
        label_tiles = shown if self.lazy else math.ceil(self.settings.n_labels / rows)
        return self.launch(
            update_rest,
            (len(self.jobs) + label_tiles, self.members),
            tiles.update_warps,
            examples=batch.examples, labels=batch.labels, jobs=self.jobs, store=self.work.flat,
            n_jobs=len(self.jobs), SHOWN=power_of_two(shown), LABELS=rows, OUTPUTS=tiles.outputs,
            INPUTS=tiles.inputs, ROWS=tiles.job_rows, ALIGNED=self.settings.input_dim % 16 == 0,
        )  # fmt: skip

    def launch(self, kernel: Any, grid: tuple[int, ...], warps: int, **own: Any) -> Launch:
        """A launch with the kernel's ``own`` arguments and those of the shared ones that it has."""
        arguments = {**self.shared, **own}
        chosen = {name: arguments[name] for name in kernel.arg_names}
        return Launch(kernel=kernel, grid=grid, arguments=chosen, warps=warps)
