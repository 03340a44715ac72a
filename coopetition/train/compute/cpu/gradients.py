"""Loss and gradients of the standard network on a CPU, written out by hand.

Automatic differentiation spends most of a small network's step on bookkeeping. Here matrix products
go to the BLAS through preallocated buffers, everything between them to compiled loops
(`kernels.py`), and gradients straight into the optimizer's flat buffer. Tests compare every
gradient with automatic differentiation's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....settings.training import OptimisationSettings
from ...network.network import Network
from ...sequences.batch import Batch
from . import kernels
from .block_gradients import BlockGradients, Normalisation, Views


def unsupported(network: Network, optimisation: OptimisationSettings) -> str:
    """Why the written-out gradients do not serve; empty where they do."""
    weight = network.unembedding.weight
    if weight.device.type != "cpu":
        return f"the device is {weight.device.type}"
    if network.edits:
        return "heads are edited"
    if network.settings.encoder != "linear":
        return "images are encoded by a ResNet"
    if optimisation.loss != "cross_entropy":
        return f"the loss is {optimisation.loss}"
    if optimisation.micro_batches > 1:
        return "batches are split into micro-batches"
    if not all(parameter.requires_grad for parameter in network.parameters()):
        return "parts are frozen"
    return ""


class HandWrittenGradients:
    """Fills gradients of some members from batches of one shape.

    Parameters
    ----------
    network
        One that `unsupported` has nothing against.
    parameters, gradients
        Views of the optimizer's buffers, of as many members as are computed at once.
    batch, context
        Sequences in a batch and exemplar–label pairs in a context.
    """

    def __init__(
        self, network: Network, parameters: Views, gradients: Views, batch: int, context: int
    ) -> None:
        settings, width, tokens = network.settings, network.settings.width, 2 * context + 1
        p, g, members = parameters, gradients, len(parameters["unembedding.weight"])
        self.p, self.g, self.count = p, g, batch
        self.shape = (members, batch, context + 1, settings.input_dim)
        self.shown = torch.empty(members, batch * (context + 1), width)
        self.dshown = torch.empty_like(self.shown)
        x = torch.empty(members, tokens * batch, width)
        self.blocks: list[BlockGradients] = []
        for layer in range(settings.depth):
            last = layer == settings.depth - 1
            self.blocks.append(BlockGradients(network, p, g, layer, x, batch, last))
            x = self.blocks[-1].y
        self.norm = Normalisation(p, g, "norm", x)
        self.logits = torch.empty(members, batch, settings.n_labels)
        self.probabilities = torch.empty_like(self.logits)
        self.dquery, self.scaled = torch.empty_like(x), torch.empty_like(x)
        self.unscaled = torch.zeros(members, 0, width)
        self.shares = torch.full((members, 1, batch), 1 / batch)
        self.bias = p["unembedding.bias"].unsqueeze(1)
        self.dbias = g["unembedding.bias"].unsqueeze(1)
        self.embedding_arguments(network, p, g, (members, tokens, batch, width))
        self.labels: Tensor | None = None

    def embedding_arguments(
        self, network: Network, p: Views, g: Views, shape: tuple[int, ...]
    ) -> None:
        """Arrays that the embedding's kernels read and fill."""
        members, tokens, batch, width = shape
        positions, nothing = torch.zeros(members, tokens, width), torch.zeros(members, width)
        if network.settings.positions == "sinusoidal":
            positions[:] = network.sinusoids[:tokens]
        x = self.blocks[0].norm.arguments[0].reshape(shape)
        shown = self.shown.view(members, batch, -1, width).numpy()
        dshown = self.dshown.view(members, batch, -1, width).numpy()
        bias = p.get("exemplar.bias", nothing).numpy()
        self.before_labels = shown, bias, p["label.weight"].numpy()
        self.after_labels = p.get("position", positions).numpy(), x
        unused = torch.empty_like(positions), torch.empty_like(nothing)
        self.dlabel = g["label.weight"].numpy()
        self.filled = (
            dshown, g.get("exemplar.bias", unused[1]).numpy(), self.dlabel,
            g.get("position", unused[0]).numpy(),
        )  # fmt: skip

    def compute(self, batch: Batch, clear: bool) -> Tensor:
        """Replace the gradients by this batch's.

        Parameters
        ----------
        batch
            Of the shape this was made for.
        clear
            Whether anything but this object has written to the gradients since: they are cleared
            as a whole then, not only the label rows of the batch before.

        Returns
        -------
        Tensor
            Mean cross-entropy of each member, ``(members,)``.
        """
        if batch.examples.shape != self.shape or batch.labels.shape[0] != self.shape[0]:
            raise ValueError(
                f"examples of shape {tuple(batch.examples.shape)}: expected {self.shape}"
            )
        examples, p, g = batch.examples.flatten(1, 2), self.p, self.g
        labels, target = batch.labels.contiguous(), batch.target.contiguous()
        if clear or self.labels is None:
            g["label.weight"].zero_()
        else:
            kernels.clear_rows(self.dlabel, self.labels.numpy())
        self.labels = labels
        torch.bmm(examples, p["exemplar.weight"].mT, out=self.shown)
        kernels.embed(*self.before_labels, labels.numpy(), *self.after_labels)
        for block in self.blocks:
            block.forward()
        self.norm.forward()
        loss = self.unembed(target)
        dx = self.norm.backward(self.dquery, self.unscaled)
        for block in reversed(self.blocks):
            dx = block.backward(dx)
        shape = self.after_labels[1].shape
        kernels.embed_backward(dx.view(shape).numpy(), labels.numpy(), *self.filled)
        torch.bmm(self.dshown.mT, examples, out=g["exemplar.weight"])
        return loss

    def unembed(self, target: Tensor) -> Tensor:
        """Loss, the unembedding's gradients and that of the normalised query."""
        weight, query, dlogits = self.p["unembedding.weight"], self.norm.y, self.probabilities
        torch.baddbmm(self.bias, query, weight.mT, out=self.logits)
        torch.softmax(self.logits, -1, out=self.probabilities)
        loss = torch.empty(len(query))
        kernels.cross_entropy(self.logits.numpy(), dlogits.numpy(), target.numpy(), loss.numpy())
        torch.div(query, self.count, out=self.scaled)
        torch.bmm(dlogits.mT, self.scaled, out=self.g["unembedding.weight"])
        torch.bmm(self.shares, dlogits, out=self.dbias)
        torch.bmm(dlogits, weight, out=self.dquery)
        self.dquery.div_(self.count)
        return loss
