"""One training step in five launches; mutates the network and the optimizer it was given."""

from __future__ import annotations

import torch
from torch import Tensor

from ....errors import unknown_name
from ...network.network import Network
from ...optimisation.optimiser import Optimiser
from ...sequences.batch import Batch
from ...sequences.blocks import ALIGNMENT
from .launches import Launches
from .lazy_labels import LazyLabels, pays, why_not_lazy
from .numbers import numbers_of
from .support import PRECISIONS, why_not_fused
from .tiles import Tiles, choose_tiles


class FusedStep:
    """Loss, gradients and Adam's update of M members, by kernels made for it.

    Parameters
    ----------
    network, optimiser
        What is trained, and the state of its optimizer, whose flat buffers are updated in place.
    precision
        Of matrix products: ``fp32``; ``tf32x3`` (three TF32 products in place of a float32 one,
        which differ from it in the last bits); ``tf32``; ``bf16``. Everything else is float32.
    lazy
        Update rows of the label embedding only when they are shown, where `why_not_lazy` has
        nothing against it: with many members this halves what moves through memory. Rows that
        wait are brought up to date by `settle`, without which they must not be read. When and how
        often that is done changes no bit. None: where there is enough memory to move
        (`lazy_labels.pays`).
    tiles
        How the work is cut, instead of `choose_tiles`'s way.

    Raises
    ------
    ValueError
        If the step does not serve (see `why_not_fused`), or ``precision`` is none of these.

    Notes
    -----
    A step waits for nothing and, after the first of a batch's shape, compiles nothing and allocates
    nothing (but copies of batches that `aligned` would not take as they are), so it can be captured
    in a CUDA graph once it has run. Learning rates and the step's number are read
    from the device. The same inputs give the same bits. Gradients are not left in
    ``optimiser.gradients``.
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
        self.numbers = numbers_of(optimiser)
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
        """Take one step.

        Returns
        -------
        Tensor
            Mean loss of each member before the update, ``(M,)``, in nats; the next step on a batch
            of the shape overwrites it. NaN where a label or target does not exist.
        """
        launches = self.launches(batch)
        batch = Batch(
            examples=aligned(batch.examples),
            labels=aligned(batch.labels),
            target=aligned(batch.target),
        )
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

    def settle(self) -> None:
        """Bring every weight and moment up to date; needed before they are read if ``lazy``."""
        if self.lazy is not None:
            self.lazy.settle()()

    def restart(self) -> None:
        """Go on from state that was put in from outside: nothing waits; needed if ``lazy``."""
        if self.lazy is not None:
            self.lazy.restart()

    def launches(self, batch: Batch) -> Launches:
        """Those for batches of this one's shape.

        Raises
        ------
        ValueError
            If the batch is not of the network's members and inputs.
        """
        members, count, shown, entries = batch.examples.shape
        expected = self.network.members, self.network.settings.input_dim
        if (members, entries) != expected or 2 * shown - 1 > self.network.max_tokens:
            raise ValueError(
                f"examples of shape {tuple(batch.examples.shape)}: expected ({expected[0]}, batch, "
                f"context_len + 1, {expected[1]}) and at most {self.network.max_tokens} tokens"
            )
        if batch.labels.shape != (members, count, shown - 1) or batch.target.shape != (
            members, count,
        ):  # fmt: skip
            raise ValueError(
                f"labels of shape {tuple(batch.labels.shape)} and targets of shape "
                f"{tuple(batch.target.shape)}: expected {(members, count, shown - 1)} and "
                f"{(members, count)}"
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
    """The tensor, or a copy, contiguous and where the compiled kernels expect it.

    Triton compiles anew for addresses that are no multiple of 16 bytes, and may then add in another
    order: a batch's bits would depend on where in a block it lies.
    """
    part = part.contiguous()
    return part.clone() if part.data_ptr() % ALIGNMENT else part
