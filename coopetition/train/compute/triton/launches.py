"""The launches of a step for batches of one shape: which kernel, on which grid, with what."""

from __future__ import annotations

import math
from typing import Any

from ...network.network import Network
from ...optimisation.optimiser import Optimiser
from ...sequences.batch import Batch
from .jobs import JobMaker
from .launch import Launch
from .numbers import Numbers
from .tiles import LARGE_TILE, Tiles, power_of_two
from .trunk_arguments import of_trunk
from .workspace import StepMemory

PARTS_AT_ONCE = 32  # of the labels, when their sums are put together


class Launches:
    """Makes the launches of a step.

    Parameters
    ----------
    network, optimiser
        What is trained, and its state.
    numbers
        The optimizer's settings on the device.
    batch, context
        B and L.
    tiles
        How the work is cut.
    precision
        What the kernels' products are told.
    lazy
        Whether only rows of the label embedding that are shown are updated.
    """

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
        self.optimiser, self.numbers, self.tiles = optimiser, numbers, tiles
        self.settings, self.members = settings, network.members
        self.batch, self.context = batch, context
        self.groups = math.ceil(batch / tiles.group)
        self.work = StepMemory(settings, network.members, batch, context, tiles, device)
        views = optimiser.parameters.views
        maker = JobMaker(settings, batch, context, views, numbers.names, self.work, tiles)
        self.jobs = maker.table(device)
        # of all kernels; each is given those that it has
        self.shared: dict[str, Any] = {
            **self.work.views,
            **of_trunk(network, views, context, tiles),
            **self.of_adam(),
            "share": 1 / batch,
            "BATCH": batch,
            "PARTS": tiles.parts,
            "LAZY": lazy,
            "PRECISION": precision,
        }

    def of_adam(self) -> dict[str, Any]:
        """State and constants of the update, the parameters of the unembedding and labels."""
        optimiser, numbers = self.optimiser, self.numbers
        (beta1, beta2), eps = optimiser.settings[0].betas, optimiser.settings[0].eps
        moments = dict(zip(("first", "second"), optimiser.moments, strict=True))
        state = {
            f"{order}_{kind}": moment.views[name]
            for order, moment in moments.items()
            for kind, name in (
                ("weight", "unembedding.weight"),
                ("bias", "unembedding.bias"),
                ("label", "label.weight"),
            )
        }
        return {
            **state,
            "weight": optimiser.parameters.views["unembedding.weight"],
            "bias": optimiser.parameters.views["unembedding.bias"],
            "parameters": optimiser.parameters.flat,
            "first": moments["first"].flat,
            "second": moments["second"].flat,
            "shrinks": numbers.shrinks,
            "weight_shrink": numbers.shrink("unembedding.weight"),
            "bias_shrink": numbers.shrink("unembedding.bias"),
            "label_shrink": numbers.shrink("label.weight"),
            "schedule": numbers.schedule,
            "logs": numbers.logs,
            "steps": optimiser.steps,
            "count": optimiser.count,
            "SCHEDULE": optimiser.settings[0].schedule,
            "BETA1": beta1,
            "BETA2": beta2,
            "EPS": eps,
            "DECAY": optimiser.kind if optimiser.strengths else "none",
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
        from .kernels.trunk_forward import trunk_forward

        return self.launch(
            trunk_forward,
            (self.groups, self.members),
            self.tiles.trunk_warps,
            examples=batch.examples,
            labels=batch.labels,
        )

    def trunk_backward(self) -> Launch:
        """What the unembedding left to gradients of activations."""
        from .kernels.trunk_backward import trunk_backward

        vectors = LARGE_TILE // (power_of_two(self.tiles.group) * self.settings.width)
        most = max(1, min(PARTS_AT_ONCE, vectors))
        return self.launch(
            trunk_backward,
            (self.groups, self.members),
            self.tiles.trunk_warps,
            AT_ONCE=min(most, power_of_two(self.tiles.parts)),
            NORMS=self.work.views["shares"].shape[2],
        )

    def unembedding_forward(self, batch: Batch) -> Launch:
        """Queries to loss and gradient, in parts."""
        from .kernels.unembedding import unembedding_forward

        tiles = self.tiles
        return self.launch(
            unembedding_forward,
            (tiles.parts, self.members, math.ceil(self.batch / tiles.queries)),
            tiles.logit_warps,
            target=batch.target,
            PER_PART=tiles.per_part,
            LABELS=tiles.labels,
            QUERIES=tiles.queries,
            CHUNK=tiles.logit_chunk,
        )

    def unembedding_backward(self, batch: Batch) -> Launch:
        """Gradient and update of the unembedding."""
        from .kernels.unembedding import unembedding_backward

        tiles = self.tiles
        return self.launch(
            unembedding_backward,
            (math.ceil(self.settings.n_labels / tiles.update_labels), self.members),
            tiles.update_warps,
            target=batch.target,
            LABELS=tiles.update_labels,
            QUERIES=tiles.update_queries,
            AT_ONCE=min(PARTS_AT_ONCE, power_of_two(tiles.parts)),
            CHUNK=tiles.update_chunk,
        )

    def update_rest(self, batch: Batch) -> Launch:
        """Gradients and updates of the trunk and the label embedding."""
        from .kernels.rest import update_rest

        tiles = self.tiles
        rows, shown = tiles.label_rows, self.batch * self.context
        label_tiles = math.ceil(self.settings.n_labels / rows)
        if self.shared["LAZY"]:
            rows, label_tiles = 1, shown
        return self.launch(
            update_rest,
            (len(self.jobs) + label_tiles, self.members),
            tiles.update_warps,
            examples=batch.examples,
            labels=batch.labels,
            jobs=self.jobs,
            store=self.work.flat,
            n_jobs=len(self.jobs),
            SHOWN=power_of_two(shown),
            LABELS=rows,
            OUTPUTS=tiles.outputs,
            INPUTS=tiles.inputs,
            ROWS=tiles.job_rows,
            ALIGNED=self.settings.input_dim % 16 == 0,
        )

    def launch(self, kernel: Any, grid: tuple[int, ...], warps: int, **own: Any) -> Launch:
        """A launch with the kernel's ``own`` arguments and those of the shared ones that it has."""
        arguments = {**self.shared, **own}
        chosen = {name: arguments[name] for name in kernel.arg_names}
        return Launch(kernel=kernel, grid=grid, arguments=chosen, warps=warps)
