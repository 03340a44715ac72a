"""The jobs of the last kernel: a tile of a trunk weight, or a vector, each with its operands.

A weight's gradient is Σ_r dy[r]ᵀ x[r] over rows r of the activations, a vector's is Σ_r dy[r]. Not
every row counts: of the last block's queries, projection and MLP only the query token's, of the
exemplars' embedding only the exemplar tokens'. So the r-th row is row
(r // period)·jump + start + (r mod period)·step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....settings.training import NetworkSettings
from .layout import StepMemory, Tiles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Which rows count: see the module's formula."""

    count: int
    period: int = 1
    jump: int = 1
    step: int = 0
    start: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One tile of a weight, or a vector; the fields in the order in which the kernel reads them.

    ``place`` (in the flat parameters), ``dy`` and ``x`` (in the step's memory, or ``from_examples``
    in the batch's examples) are those of member 0, in floats like sizes and strides.
    """

    is_vector: bool
    place: int
    member_size: int
    outputs: int
    inputs: int
    stride: int
    dy: int
    dy_member: int
    dy_stride: int
    rows: Rows
    decay: int
    from_examples: bool = False
    x: int = 0
    x_member: int = 0
    x_stride: int = 0

    def fields(self) -> list[int]:
        """Integers of the table."""
        *first, rows, decay, from_examples, x, x_member, x_stride = dataclasses.astuple(self)
        return [*first, *rows, decay, from_examples, x, x_member, x_stride]


class JobMaker:
    """Makes a network's jobs for batches of a shape; ``names`` have the decay strengths' order."""

    def __init__(
        self,
        settings: NetworkSettings,
        batch: int,
        context: int,
        parameters: Mapping[str, Tensor],
        names: Sequence[str],
        memory: StepMemory,
        tiles: Tiles,
    ) -> None:
        self.settings, self.batch, self.context = settings, batch, context
        self.parameters, self.memory, self.tiles = parameters, memory, tiles
        self.decay = {name: index for index, name in enumerate(names)}
        self.tokens = 2 * context + 1
        self.every = Rows(count=batch * self.tokens)
        self.queries = Rows(count=batch, jump=self.tokens, start=self.tokens - 1)
        self.shown = Rows(count=batch * (context + 1), period=context + 1, jump=self.tokens, step=2)

    def table(self, device: torch.device) -> Tensor:
        """The fields of all jobs, the larger weights first, int64, shape ``(jobs, fields)``."""
        jobs = [*self.blocks(), *self.embedding(), *self.norms()]
        jobs.sort(key=lambda job: job.is_vector)
        return torch.tensor([job.fields() for job in jobs], device=device)

    def blocks(self) -> Iterator[Job]:
        """Weights and biases of attention and MLPs."""
        width = self.settings.width
        for layer in range(self.settings.depth):
            some = self.queries if layer == self.settings.depth - 1 else self.every
            attention, mlp = f"blocks.{layer}.attention.", f"blocks.{layer}.mlp."
            dqkv, normed = ("dqkv", layer), ("normed", layer)
            yield from self.linear(attention + "qkv", dqkv, normed, some, 0, width)
            yield from self.linear(attention + "qkv", dqkv, normed, self.every, width, 3 * width)
            yield from self.linear(
                attention + "projection", ("dout", layer), ("mixed", layer), some
            )
            if self.settings.mlp_ratio:
                before, after = ("dbefore", layer), ("after", layer)
                yield from self.linear(mlp + "inner", before, ("mlp_normed", layer), some)
                yield from self.linear(mlp + "outer", ("dmlp", layer), after, some)

    def linear(
        self,
        name: str,
        dy: tuple[str, int | None],
        x: tuple[str, int] | None,
        rows: Rows,
        first: int = 0,
        last: int | None = None,
    ) -> Iterator[Job]:
        """Tiles of a weight's outputs ``first`` to ``last``, and its bias; x None: the examples."""
        weight = self.parameters[name + ".weight"]
        outputs, inputs = weight.shape[1:]
        end = outputs if last is None else last
        for o in range(first, end, self.tiles.outputs):
            for i in range(0, inputs, self.tiles.inputs):
                yield Job(
                    is_vector=False,
                    place=int(weight.storage_offset()) + o * inputs + i,
                    member_size=outputs * inputs,
                    outputs=min(self.tiles.outputs, end - o),
                    inputs=min(self.tiles.inputs, inputs - i),
                    stride=inputs,
                    rows=rows,
                    decay=self.decay[name + ".weight"],
                    from_examples=x is None,
                    x=i + (0 if x is None else self.memory.place(*x)),
                    x_member=inputs * (rows.count if x is None else self.every.count),
                    x_stride=inputs,
                    **self.source(*dy, o),
                )
        yield from self.vector(name + ".bias", self.source(*dy), rows, first, last)

    def source(self, name: str, layer: int | None = None, column: int = 0) -> dict[str, Any]:
        """Where gradients of an activation lie, from a column on."""
        wide = self.memory.views[name].shape[-1]
        return {
            "dy": self.memory.place(name, layer) + column,
            "dy_member": self.every.count * wide,
            "dy_stride": wide,
        }

    def vector(
        self, name: str, source: Mapping[str, Any], rows: Rows, first: int = 0,
        last: int | None = None, row: int = 0,
    ) -> Iterator[Job]:  # fmt: skip
        """Entries ``first`` to ``last`` of a vector, or of one row of a matrix; none if absent."""
        if name not in self.parameters:
            return
        values, width = self.parameters[name], self.settings.width
        size = values.shape[-1]
        end = size if last is None else last
        for start in range(first, end, width):
            yield Job(
                is_vector=True,
                place=int(values.storage_offset()) + row * size + start,
                member_size=values[0].numel(),
                outputs=min(width, end - start),
                inputs=0,
                stride=0,
                rows=rows,
                decay=self.decay[name],
                **{**source, "dy": source["dy"] + start},
            )

    def embedding(self) -> Iterator[Job]:
        """The exemplars' embedding, and positions; those beyond the sequence only decay."""
        yield from self.linear("exemplar", ("dtokens", None), None, self.shown)
        if "position" in self.parameters:
            for token in range(self.parameters["position"].shape[1]):
                rows = Rows(count=self.batch, jump=self.tokens, start=token)
                rows = rows if token < self.tokens else Rows(count=0)
                yield from self.vector("position", self.source("dtokens"), rows, row=token)

    def norms(self) -> Iterator[Job]:
        """Weights and biases of the normalisations, from each group's share."""
        names = [name for name in self.parameters if name.endswith("norm.weight")]
        shares = self.memory.views["shares"]
        _, groups, norms, _, width = shares.shape
        for norm, name in enumerate(sorted(names, key=forward_order)):
            for part, kind in enumerate(("weight", "bias")):
                source = {
                    "dy": self.memory.place("shares") + (2 * norm + part) * width,
                    "dy_member": groups * norms * 2 * width,
                    "dy_stride": norms * 2 * width,
                }
                yield from self.vector(
                    name.removesuffix("weight") + kind, source, Rows(count=groups)
                )


def forward_order(name: str) -> tuple[int, int, str]:
    """Sorts normalisations in the order of the forward pass: block by block, the last one last."""
    parts = name.split(".")
    return (0, int(parts[1]), parts[2]) if parts[0] == "blocks" else (1, 0, "")
