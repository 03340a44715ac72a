"""The parts of a transformer, each holding the weights of every member of an ensemble.

The first axis of every weight and activation is ``members``: M networks of equal shape computed by
batched matrix products. Shapes below use M members, B sequences, T tokens, d width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_edits import LayerEdits

NORM_EPS = 1e-5
# standard deviation of a unit normal cut at ±2, by which truncated draws are widened again
TRUNCATED_STD = 0.87962566103423978
EMBEDDING_STD = 0.02


def truncated_normal_(tensor: Tensor, std: float, generators: Sequence[torch.Generator]) -> None:
    """Fill ``(members, …)`` from normals of width ``std`` cut at ±2 ``std``, one generator each."""
    with torch.no_grad():
        for member, generator in zip(tensor, generators, strict=True):
            torch.nn.init.trunc_normal_(member, std=std, a=-2 * std, b=2 * std, generator=generator)


def lecun_normal_(tensor: Tensor, fan_in: int, generators: Sequence[torch.Generator]) -> None:
    """Fill from a truncated normal of variance 1 / ``fan_in`` (Klambauer et al. 2017)."""
    truncated_normal_(tensor, math.sqrt(1 / fan_in) / TRUNCATED_STD, generators)


def embedding_(tensor: Tensor, generators: Sequence[torch.Generator]) -> None:
    """Fill label (or one-hot) embeddings: truncated normal of width 0.02 (arXiv 2205.05055)."""
    truncated_normal_(tensor, EMBEDDING_STD, generators)


def uniform_(tensor: Tensor, limit: float, generators: Sequence[torch.Generator]) -> None:
    """Fill from the uniform distribution on [−``limit``, ``limit``]."""
    with torch.no_grad():
        for member, generator in zip(tensor, generators, strict=True):
            member.uniform_(-limit, limit, generator=generator)


def angles(length: int, width: int, time_scale: float) -> Tensor:
    """θ[p, j] = p / time_scale^(2j / width) of position p and pair j, ``(length, width // 2)``."""
    pair = torch.arange(width // 2, dtype=torch.float64)
    position = torch.arange(length, dtype=torch.float64)
    theta = position[:, None] / time_scale ** (2 * pair / width)
    return theta.to(torch.float32)


def sinusoidal_table(length: int, width: int, time_scale: float) -> Tensor:
    """Sin θ[p, j] at coordinate 2j, cos θ[p, j] at 2j + 1, ``(length, width)`` (Vaswani 2017)."""
    theta = angles(length, width, time_scale)
    return torch.stack((theta.sin(), theta.cos()), dim=-1).flatten(-2)


class Rotation(nn.Module):
    """Rotary positions: each pair of coordinates of a query or key is turned by θ[p, j].

    ``width`` is one head's (Su et al. 2021, "RoFormer", arXiv 2104.09864).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, width: int, time_scale: float) -> None:
        super().__init__()
        theta = angles(length, width, time_scale)
        self.register_buffer("cos", theta.cos(), persistent=False)
        self.register_buffer("sin", theta.sin(), persistent=False)

    def forward(self, vectors: Tensor, first: int = 0) -> Tensor:
        """Turn ``vectors``, ``(…, tokens, width)``, whose first token stands at `first`."""
        last = first + vectors.shape[-2]
        cos, sin = self.cos[first:last], self.sin[first:last]
        even, odd = vectors[..., 0::2], vectors[..., 1::2]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)


class Linear(nn.Module):
    """y = W x + b in each member."""

    bias: nn.Parameter | None

    def __init__(self, members: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, outputs, inputs))
        if bias:
            self.bias = nn.Parameter(torch.zeros(members, outputs))
        else:
            self.register_parameter("bias", None)

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights; biases stay 0."""
        lecun_normal_(self.weight, self.weight.shape[-1], generators)

    def forward(self, x: Tensor, outputs: slice = slice(None)) -> Tensor:
        """Map ``(M, …, inputs)`` to ``(M, …, outputs)``, or to a slice of the outputs."""
        rows = x.reshape(x.shape[0], -1, x.shape[-1])
        weight = self.weight[:, outputs].mT
        if self.bias is None:
            y = torch.bmm(rows, weight)
        else:
            y = torch.baddbmm(self.bias[:, outputs].unsqueeze(1), rows, weight)
        return y.view(*x.shape[:-1], -1)


class Norm(nn.Module):
    """LayerNorm: (x − mean) / √(variance + 1e-5) · w + b in each member."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of ``(M, B, T, d)`` or ``(M, B, d)``."""
        shape = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        unit = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
        return torch.addcmul(self.bias.view(shape), unit, self.weight.view(shape))


class Attention(nn.Module):
    """Causal self-attention of several heads: softmax(q kᵀ / √(d/H)) v, then a projection."""

    later: Tensor

    def __init__(
        self, members: int, width: int, heads: int, bias: bool, length: int, rotation: bool,
        time_scale: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = Linear(members, width, 3 * width, bias)
        self.projection = Linear(members, width, width, bias)
        self.rotation = Rotation(length, width // heads, time_scale) if rotation else None
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("later", later, persistent=False)

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights."""
        self.qkv.initialise(generators)
        self.projection.initialise(generators)

    def heads_first(self, x: Tensor) -> Tensor:
        """``(M, B, T, d)`` as ``(M, B, H, T, d/H)``."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(2, 3)

    def forward(
        self, x: Tensor, edits: LayerEdits | None, last_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Output ``(M, B, rows, d)`` and patterns ``(M, B, H, rows, T)`` of a normalised stream x.

        The rows are all tokens, or the last one if `last_only`.
        """
        width, first = x.shape[-1], x.shape[2] - 1 if last_only else 0
        if last_only:  # queries of the last token only: a third of the matrix product is saved
            q = self.qkv(x[:, :, -1:], slice(0, width))
            k, v = self.qkv(x, slice(width, None)).split(width, dim=-1)
        else:
            q, k, v = self.qkv(x).split(width, dim=-1)
        q, k, v = self.heads_first(q), self.heads_first(k), self.heads_first(v)
        if self.rotation is not None:
            q, k = self.rotation(q, first), self.rotation(k)
        scores = torch.matmul(q * self.scale, k.mT)
        if edits is not None:
            scores = edits.scores(scores, first)
        tokens = scores.shape[-1]
        if not last_only:
            scores = scores.masked_fill(self.later[:tokens, :tokens], float("-inf"))
        patterns = scores.softmax(-1)
        if edits is not None:
            patterns = edits.patterns(patterns, first)
        mixed = torch.matmul(patterns, v).transpose(2, 3).flatten(-2)
        return self.projection(mixed), patterns


class MLP(nn.Module):
    """W₂ gelu(W₁ x + b₁) + b₂, with the tanh form of gelu."""

    def __init__(self, members: int, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = Linear(members, width, hidden)
        self.outer = Linear(members, hidden, width)

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights, biases 0."""
        self.inner.initialise(generators)
        self.outer.initialise(generators)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(M, B, T, d)`` to the same shape."""
        out: Tensor = self.outer(F.gelu(self.inner(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) where there is an MLP."""

    def __init__(self, attention: Attention, members: int, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = Norm(members, width)
        self.attention = attention
        self.mlp_norm = Norm(members, width) if hidden else None
        self.mlp = MLP(members, width, hidden) if hidden else None

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """LeCun-normal weights of attention and MLP."""
        self.attention.initialise(generators)
        if self.mlp is not None:
            self.mlp.initialise(generators)

    def forward(
        self, x: Tensor, edits: LayerEdits | None, last_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Residual stream after the block (its last row if `last_only`) and attention patterns."""
        out, patterns = self.attention(self.attention_norm(x), edits, last_only)
        x = (x[:, :, -1:] if last_only else x) + out
        if self.mlp is not None and self.mlp_norm is not None:
            x = x + self.mlp(self.mlp_norm(x))
        return x, patterns
