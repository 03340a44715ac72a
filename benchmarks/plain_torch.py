"""What a PyTorch user writes first: a nanoGPT-style module and torch.optim.Adam.

Kept plain on purpose; `train_step.py` and `gpu_step.py` time the package's step against it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal self-attention through torch's fused operator."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).split(width, dim=2)
        q, k, v = (
            part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in (q, k, v)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).contiguous().view(batch, tokens, width))


class Block(nn.Module):
    """Pre-LayerNorm attention with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.norm(x))


class PlainNetwork(nn.Module):
    """The papers' two-layer network; logits of the query only."""

    def __init__(
        self, *, classes: int, dim: int, width: int = 64, heads: int = 8, depth: int = 2
    ) -> None:
        super().__init__()
        self.exemplar = nn.Linear(dim, width)
        self.label = nn.Embedding(classes, width)
        self.position = nn.Embedding(32, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, examples: Tensor, labels: Tensor, every_token: bool = False) -> Tensor:
        shown, named = self.exemplar(examples), self.label(labels)
        batch, context, width = named.shape
        pairs = torch.stack((shown[:, :-1], named), dim=2).view(batch, 2 * context, width)
        x = torch.cat((pairs, shown[:, -1:]), dim=1)
        x = x + self.position(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x)
        if every_token:  # as nanoGPT does in training
            return self.head(self.norm(x))[:, -1]
        return self.head(self.norm(x[:, -1]))


def plain_step(network: PlainNetwork, lr: float, every_token: bool = False):
    """A function that takes one Adam step on ``(examples, labels, target)`` and gives the loss."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)

    def step(examples: Tensor, labels: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(network(examples, labels, every_token), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step
