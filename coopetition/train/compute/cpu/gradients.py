"""Loss and gradients of the standard network on a CPU, written by hand.

Automatic differentiation spends most of a small network's step on bookkeeping. Here matrix products
go to the BLAS through preallocated buffers, everything between them to compiled loops
(`kernels.py`), and gradients straight into the optimizer's flat buffer. Tests compare every
gradient with automatic differentiation's.

Rows of the residual stream are ordered by token, then sequence: ``(M, T·B, d)``, the queries last.
Queries, keys and values are kept the other way round, ``(M, d, T·B)``: the matrix products give
either order for nothing, and attention is vectorised over the sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from ....settings.training import OptimisationSettings
from ...network.layers import Block
from ...network.network import Network
from ...sequences.batch import Batch
from . import kernels

Views = Mapping[str, Tensor]
EVERY = slice(None)


def unsupported(network: Network, optimisation: OptimisationSettings) -> str:
    """Why the hand-written gradients do not serve; empty where they do."""
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


class Product:
    """y = W x + b for some outputs of a weight, and its gradients.

    ``columns`` says how y lies in memory: as columns, ``(M, outputs, N)``, or as rows.
    """

    def __init__(self, p: Views, g: Views, name: str, part: slice = EVERY, columns: bool = False):
        self.weight, self.dweight = p[f"{name}.weight"][:, part], g[f"{name}.weight"][:, part]
        self.transposed, self.columns = self.weight.mT, columns
        bias = f"{name}.bias"
        self.bias = p[bias][:, part].unsqueeze(-1 if columns else 1) if bias in p else None
        self.dbias = g[bias][:, part] if bias in g else None

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Map x ``(M, N, inputs)`` into y."""
        first, second = (self.weight, x.mT) if self.columns else (x, self.transposed)
        if self.bias is None:
            torch.bmm(first, second, out=y)
        else:
            torch.baddbmm(self.bias, first, second, out=y)

    def backward(self, dy: Tensor, x: Tensor, dx: Tensor) -> None:
        """Fill the weight's gradients, and dx ``(M, N, inputs)``."""
        columns, rows = (dy, dy.mT) if self.columns else (dy.mT, dy)
        torch.bmm(columns, x, out=self.dweight)
        if self.dbias is not None:
            torch.sum(columns, 2, out=self.dbias)
        torch.bmm(rows, self.weight, out=dx)


class Normalisation:
    """LayerNorm of rows ``(M, N, d)``; the identity where the network has none of that name."""

    def __init__(self, p: Views, g: Views, name: str, x: Tensor) -> None:
        self.present = f"{name}.weight" in p
        self.y = torch.empty_like(x) if self.present else x
        self.dx = torch.empty_like(x)
        if self.present:
            weight, bias = p[f"{name}.weight"].numpy(), p[f"{name}.bias"].numpy()
            moments = torch.empty(*x.shape[:-1], 2).numpy()
            self.arguments = x.numpy(), weight, bias, self.y.numpy(), moments
            self.inputs = x.numpy(), moments, weight
            self.outputs = (
                self.dx.numpy(), g[f"{name}.weight"].numpy(), g[f"{name}.bias"].numpy()
            )  # fmt: skip

    def forward(self) -> None:
        """Fill y."""
        if self.present:
            kernels.norm(*self.arguments)

    def backward(self, dy: Tensor, residual: Tensor) -> Tensor:
        """Gradient of x, with ``residual`` ``(M, ≤ N, d)`` added to its last rows."""
        if self.present:
            kernels.norm_backward(dy.numpy(), *self.inputs, residual.numpy(), *self.outputs)
        else:
            self.dx.copy_(dy)
            self.dx[:, self.dx.shape[1] - residual.shape[1] :] += residual
        return self.dx


class BlockGradients:
    """One block, from its input ``x`` ``(M, T·B, d)``; the last block computes the queries only."""

    def __init__(
        self, network: Network, p: Views, g: Views, layer: int, x: Tensor, batch: int, last: bool
    ) -> None:
        name = f"blocks.{layer}."
        members, rows, width = x.shape
        tokens, heads = rows // batch, network.settings.heads
        attending = 1 if last else tokens
        self.last, self.width, self.first = last, width, tokens - attending
        self.rotation = cast(Block, network.blocks[layer]).attention.rotation
        self.norm = Normalisation(p, g, name + "attention_norm", x)
        self.projection = Product(p, g, name + "attention.projection")
        self.ends = x[:, rows - attending * batch :]  # rows that go on
        queries = (members, width, attending * batch)
        if last:
            self.query = Product(p, g, name + "attention.qkv", slice(0, width), columns=True)
            self.others = Product(p, g, name + "attention.qkv", slice(width, None), columns=True)
            self.q, self.dq = torch.empty(queries), torch.empty(queries)
            self.kv = torch.empty(members, 2 * width, rows)
            self.dkv, key = torch.empty_like(self.kv), 0
            self.query_rows = self.norm.y[:, rows - batch :]
        else:
            self.others = Product(p, g, name + "attention.qkv", columns=True)
            self.q = self.kv = torch.empty(members, 3 * width, rows)
            self.dq = self.dkv = torch.empty_like(self.kv)
            key = width
        self.key = key
        self.mixed, self.dmixed = torch.empty(queries), torch.empty(queries)
        patterns = torch.empty(members, heads, attending, tokens, batch).numpy()
        self.attend, self.attend_backward = kernels.attention_kernels(width // heads)
        q, kv, dq, dkv, mixed, dmixed = (
            part.view(members, part.shape[1], -1, batch).numpy()
            for part in (self.q, self.kv, self.dq, self.dkv, self.mixed, self.dmixed)
        )
        self.turned = ((q, self.first, 0), (kv, 0, key)), ((dq, self.first, 0), (dkv, 0, key))
        self.forward_arguments = q, kv, key, key + width, patterns, mixed
        self.backward_arguments = dmixed, patterns, q, kv, key, key + width, dq, dkv
        self.out = torch.empty(members, attending * batch, width)
        self.dnormed = torch.empty_like(x)
        self.dquery_rows = self.dnormed[:, rows - batch :]
        self.mlp = MLPGradients(p, g, name, self.out) if network.settings.mlp_ratio else None

    @property
    def y(self) -> Tensor:
        """Residual stream after the block, ``(M, R·B, d)``."""
        return self.out if self.mlp is None else self.mlp.y

    def forward(self) -> None:
        """Fill y."""
        self.norm.forward()
        if self.last:
            self.query.forward(self.query_rows, self.q)
        self.others.forward(self.norm.y, self.kv)
        self.turn(back=False)
        self.attend(*self.forward_arguments)
        self.projection.forward(self.mixed.mT, self.out)
        self.out.add_(self.ends)
        if self.mlp is not None:
            self.mlp.forward()

    def backward(self, dy: Tensor) -> Tensor:
        """Gradient of x from that of y."""
        dout = dy if self.mlp is None else self.mlp.backward(dy)
        self.projection.backward(dout, self.mixed.mT, self.dmixed.mT)
        self.attend_backward(*self.backward_arguments)
        self.turn(back=True)
        self.others.backward(self.dkv, self.norm.y, self.dnormed)
        if self.last:
            torch.bmm(self.dq, self.query_rows, out=self.query.dweight)
            if self.query.dbias is not None:
                torch.sum(self.dq, 2, out=self.query.dbias)
            self.dquery_rows.baddbmm_(self.dq.mT, self.query.weight)
        return self.norm.backward(self.dnormed, dout)

    def turn(self, back: bool) -> None:
        """Rotary positions of queries and keys, or of their gradients backwards."""
        if self.rotation is not None:
            cos, sin = self.rotation.cos.numpy(), self.rotation.sin.numpy()
            for part, first, row in self.turned[back]:
                kernels.rotate(part, row, self.width, first, cos, sin, back)


class MLPGradients:
    """x + MLP(norm(x)) for rows ``(M, N, d)``."""

    def __init__(self, p: Views, g: Views, name: str, x: Tensor) -> None:
        self.x = x
        self.norm = Normalisation(p, g, name + "mlp_norm", x)
        self.inner = Product(p, g, name + "mlp.inner")
        self.outer = Product(p, g, name + "mlp.outer")
        hidden = p[name + "mlp.inner.weight"].shape[1]
        self.before = torch.empty(*x.shape[:-1], hidden)
        self.after, self.dafter = torch.empty_like(self.before), torch.empty_like(self.before)
        self.y, self.dnormed = torch.empty_like(x), torch.empty_like(x)

    def forward(self) -> None:
        """Fill y."""
        self.norm.forward()
        self.inner.forward(self.norm.y, self.before)
        torch.ops.aten.gelu.out(self.before, approximate="tanh", out=self.after)
        self.outer.forward(self.after, self.y)
        self.y.add_(self.x)

    def backward(self, dy: Tensor) -> Tensor:
        """Gradient of x from that of y."""
        self.outer.backward(dy, self.after, self.dafter)
        torch.ops.aten.gelu_backward.grad_input(
            self.dafter, self.before, approximate="tanh", grad_input=self.dafter
        )
        self.inner.backward(self.dafter, self.norm.y, self.dnormed)
        return self.norm.backward(self.dnormed, dy)


class HandWrittenGradients:
    """Fills ``gradients`` of the members whose ``parameters`` it gets, for batches of one shape."""

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
        self.embedding_gradients = (
            dshown, g.get("exemplar.bias", unused[1]).numpy(), self.dlabel,
            g.get("position", unused[0]).numpy(),
        )  # fmt: skip

    def compute(self, batch: Batch, clear: bool) -> Tensor:
        """Replace the gradients by this batch's; each member's mean cross-entropy ``(members,)``.

        ``clear``: something else wrote to the gradients since the last call.
        """
        if batch.examples.shape != self.shape or batch.labels.shape[0] != self.shape[0]:
            raise ValueError(f"examples of shape {(*batch.examples.shape,)}: expected {self.shape}")
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
        kernels.embed_backward(dx.view(shape).numpy(), labels.numpy(), *self.embedding_gradients)
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
