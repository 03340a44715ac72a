"""One training step in five launches, for networks and settings that its kernels serve."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

from ....errors import unknown_name
from ....settings.training import OptimisationSettings
from ...network.network import Network
from ...optimisation.decay import kind_of
from ...optimisation.optimiser import Optimiser
from ...sequences.batch import ALIGNMENT, Batch
from .launches import Launches, Numbers
from .layout import Tiles, choose_tiles
from .lazy_labels import LazyLabels, pays, why_not_lazy

WIDTHS = (16, 32, 64, 128, 256)
MOST_TOKENS = 64
MOST_INPUTS = 1_024
# Triton's name for a run's precision of matrix products
PRECISIONS = {"fp32": "ieee", "tf32x3": "tf32x3", "tf32": "tf32", "bf16": "bf16"}


def fused_step_for(
    network: Network, optimiser: Optimiser, precision: str = "fp32"
) -> FusedStep | str:
    """A fused step in a precision of matrix products, or why none serves."""
    reason = why_not_fused(network, optimiser.settings[0])
    return reason or FusedStep(network, optimiser, precision=precision, lazy=None)


def why_not_fused(network: Network, settings: OptimisationSettings) -> str:
    """Why the fused step does not serve a network on its device; empty where it does."""
    return why_not_network(network) or why_not_optimised(settings)


def interpreted() -> bool:
    """Whether Triton is told to interpret kernels on the CPU, as tests without a GPU do."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def why_not_network(network: Network) -> str:
    """What the machine lacks, or what of the network no kernel computes."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    device = network.unembedding.weight.device.type
    if device != "cuda" and not interpreted():
        return f"the device is {device}"
    if network.edits:
        return "heads are edited"
    if not all(parameter.requires_grad for parameter in network.parameters()):
        return "parts are frozen"
    settings, tokens = network.settings, network.max_tokens
    hidden = round(settings.width * settings.mlp_ratio)
    if settings.encoder != "linear":
        return "images are encoded by a ResNet"
    if settings.width not in WIDTHS:
        return f"the width is {settings.width}, not one of {', '.join(map(str, WIDTHS))}"
    if settings.input_dim > MOST_INPUTS:
        return f"exemplars have {settings.input_dim} entries, more than {MOST_INPUTS:,}"
    if tokens > MOST_TOKENS:
        return f"sequences may have {tokens} tokens, more than {MOST_TOKENS}"
    if hidden % 16:
        return f"the MLP has {hidden} hidden entries, not a multiple of 16"
    return ""


def why_not_optimised(settings: OptimisationSettings) -> str:
    """What of the optimisation no kernel computes."""
    if settings.loss != "cross_entropy":
        return f"the loss is {settings.loss}"
    if settings.optimizer == "sgd":
        return "the optimizer is sgd"
    if settings.clip_norm is not None:
        return "gradients are clipped"
    if settings.micro_batches > 1:
        return "batches are split into micro-batches"
    if settings.weight_decay > 0 and kind_of(settings) == "norm":
        return "weight decay is of the kind 'norm'"
    return ""


class FusedStep:
    """Loss, gradients and Adam's update of M members; changes network and optimizer in place.

    ``lazy`` (None: where `lazy_labels.pays`) updates rows of the label embedding only when they are
    shown, if `why_not_lazy` is empty; call `settle` before reading them. A step waits for nothing
    and, after the first of a batch's shape, neither compiles nor allocates (but copies of batches
    that are not `aligned`), so a CUDA graph can capture it. The same inputs give the same bits.
    Gradients are not left in ``optimiser.gradients``.
    """

    def __init__(
        self,
        network: Network,
        optimiser: Optimiser,
        *,
        precision: str = "fp32",
        lazy: bool | None = False,
        tiles: Tiles | None = None,
    ) -> None:
        reason = why_not_fused(network, optimiser.settings[0])
        if reason:
            raise ValueError(f"the fused step does not serve: {reason}; use TrainingStep's own")
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS)
        self.network, self.optimiser = network, optimiser
        self.precision, self.tiles = precision, tiles
        self.numbers = Numbers(optimiser)
        self.lazy: LazyLabels | None = None
        self.why_not_lazy = why_not_lazy(optimiser)
        if not self.why_not_lazy and not (pays(optimiser) if lazy is None else lazy):
            self.why_not_lazy = "weights and moments fit the cache" if lazy is None else "not asked"
        if not self.why_not_lazy:
            self.lazy = LazyLabels(optimiser, self.numbers)
        self.of_shape: dict[tuple[int, int], Launches] = {}
        device = optimiser.parameters.flat.device
        self.beside: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Tensor:
        """Take one step; each member's mean loss before it, ``(M,)``, until the next overwrites it.

        NaN where a label or target does not exist.
        """
        launches = self.launches(batch)
        batch = batch.map(aligned)
        self.numbers.update_rates()
        if self.lazy is not None:
            self.lazy.before(batch)()
        launches.trunk_forward(batch)()
        launches.unembedding_forward(batch)()
        # the unembedding's update needs nothing of the trunk's gradients: it runs beside them
        if self.beside is None:
            launches.unembedding_backward(batch)()
        else:
            with torch.cuda.device(self.beside.device):
                main = torch.cuda.current_stream()
                self.beside.wait_stream(main)
                with torch.cuda.stream(self.beside):
                    launches.unembedding_backward(batch)()
        launches.trunk_backward()()
        launches.update_rest(batch)()
        if self.beside is not None:
            torch.cuda.current_stream(self.beside.device).wait_stream(self.beside)
        return launches.work.views["mean_loss"]

    @property
    def updated_labels(self) -> str:
        """Which rows of the label embedding a step updates; if all, why."""
        return f"all ({self.why_not_lazy})" if self.why_not_lazy else "those shown"

    def settle(self) -> None:
        """Bring every weight and moment up to date."""
        if self.lazy is not None:
            self.lazy.settle()()

    def restart(self) -> None:
        """Go on from state that was set from outside: nothing waits."""
        if self.lazy is not None:
            self.lazy.restart()

    def launches(self, batch: Batch) -> Launches:
        """The launches for batches of this one's shape, which is checked."""
        members, count, shown, entries = batch.examples.shape
        expected = self.network.members, self.network.settings.input_dim
        if (members, entries) != expected or 2 * shown - 1 > self.network.max_tokens:
            raise ValueError(
                f"examples of shape {tuple(batch.examples.shape)}: expected ({expected[0]}, batch, "
                f"context_len + 1, {expected[1]}) and at most {self.network.max_tokens} tokens"
            )
        shapes = tuple(batch.labels.shape), tuple(batch.target.shape)
        required = (members, count, shown - 1), (members, count)
        if shapes != required:
            raise ValueError(
                f"labels of shape {shapes[0]} and targets of shape {shapes[1]}: expected "
                f"{required[0]} and {required[1]}"
            )
        shape = count, shown - 1
        if shape not in self.of_shape:
            settings = self.network.settings
            tiles = self.tiles or choose_tiles(members, *shape, settings, self.precision)
            self.of_shape[shape] = Launches(
                self.network, self.optimiser, self.numbers, *shape, tiles,
                PRECISIONS[self.precision], self.lazy is not None,
            )  # fmt: skip
        return self.of_shape[shape]


def aligned(part: Tensor) -> Tensor:
    """The tensor, or a copy, contiguous and at a multiple of 16 bytes."""
    # Triton compiles other addresses differently: bits would depend on the batch's place
    part = part.contiguous()
    return part.clone() if part.data_ptr() % ALIGNMENT else part
