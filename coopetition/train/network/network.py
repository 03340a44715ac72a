"""The papers' transformer: exemplar, label, …, query in; the query's logits out.

Every weight has a leading ``members`` axis: M networks of one architecture are computed together,
a single run being M = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...settings.training import NetworkSettings
from .attention_edits import HeadEdit, LayerEdits, Matches
from .encoders import ResidualEncoder
from .layers import Attention, Block, Linear, Norm, embedding_, sinusoidal_table, uniform_

LEARNED_POSITIONS = 32  # at least, as in the reference


class LabelEmbedding(nn.Module):
    """A vector for each label, looked up."""

    offset: Tensor

    def __init__(self, members: int, labels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, labels, width))
        offset = torch.arange(members).view(-1, 1, 1) * labels
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, labels: Tensor) -> Tensor:
        """``(M, B, L)`` labels to ``(M, B, L, d)`` vectors."""
        return F.embedding(labels + self.offset, self.weight.flatten(0, 1))


class Network(nn.Module):
    """M transformers of one architecture, whose ``n_labels`` and ``input_dim`` must be given.

    Pre-LayerNorm blocks; tokens are embedded exemplars and labels in turn, the query last; the loss
    reads the query only, so the last block computes one row. Weights are float32 (arXiv 2503.05631,
    appendix A; arXiv 2205.05055).
    """

    sinusoids: Tensor

    def __init__(self, settings: NetworkSettings, members: int = 1) -> None:
        super().__init__()
        for name in ("n_labels", "input_dim"):
            if getattr(settings, name) == 0:
                raise ValueError(
                    f"network.{name} = 0: give the number; only a run fills it in from the data"
                )
        self.settings, self.members = settings, members
        self.edits: Sequence[HeadEdit] = ()  # on attention; see `interventions.attach`
        width, length = settings.width, max_tokens(settings)
        self.max_tokens = length
        self.exemplar = (
            ResidualEncoder(members, settings.input_dim, width)
            if settings.encoder == "resnet"
            else Linear(members, settings.input_dim, width, bias=settings.input != "onehot")
        )
        self.label = LabelEmbedding(members, settings.n_labels, width)
        if settings.positions == "learned":
            self.position = nn.Parameter(torch.zeros(members, length, width))
        elif settings.positions == "sinusoidal":
            table = sinusoidal_table(length, width, settings.time_scale)
            self.register_buffer("sinusoids", table, persistent=False)
        rotary, hidden = settings.positions == "rotary", round(width * settings.mlp_ratio)
        shape = (members, width, settings.heads, settings.bias, length, rotary)
        self.blocks = nn.ModuleList(
            Block(Attention(*shape, settings.time_scale), members, width, hidden)
            for _ in range(settings.depth)
        )
        self.norm = Norm(members, width) if settings.final_norm else None
        self.unembedding = Linear(members, width, settings.n_labels)

    def initialise(self, generators: Sequence[torch.Generator]) -> None:
        """Start weights as the reference does, times a scale; member i from ``generators[i]``."""
        self.exemplar.initialise(generators)
        if self.settings.input == "onehot" and isinstance(self.exemplar, Linear):
            embedding_(self.exemplar.weight, generators)
        embedding_(self.label.weight, generators)
        if self.settings.positions == "learned":
            uniform_(self.position, self.max_tokens**-0.5, generators)
        for block in self.blocks:
            cast(Block, block).initialise(generators)
        self.unembedding.initialise(generators)
        with torch.no_grad():
            for weight in self.parameters():
                if weight.ndim > 2:  # norms and biases, (M, d), are not drawn
                    weight.mul_(self.settings.init_scale)

    def embed(self, examples: Tensor, labels: Tensor) -> Tensor:
        """Tokens with their positions, ``(M, B, 2L + 1, d)``."""
        exemplars = self.exemplar(examples)
        pairs = torch.stack((exemplars[:, :, :-1], self.label(labels)), dim=3).flatten(2, 3)
        tokens = torch.cat((pairs, exemplars[:, :, -1:]), dim=2)
        if self.settings.positions == "learned":
            return tokens + self.position[:, None, : tokens.shape[2]]
        if self.settings.positions == "sinusoidal":
            return tokens + self.sinusoids[: tokens.shape[2]]
        return tokens

    def hidden(
        self, examples: Tensor, labels: Tensor, target: Tensor | None, last_only: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Normalised query ``(M, B, d)`` before unembedding, and every layer's patterns."""
        x, patterns, last = self.embed(examples, labels), [], len(self.blocks) - 1
        matches = Matches(context=labels, target=target)
        for layer, block in enumerate(self.blocks):
            edits = LayerEdits(layer, self.edits, matches) if self.edits else None
            x, pattern = block(x, edits, last_only and layer == last)
            patterns.append(pattern)
        query = x[:, :, -1]
        return (query if self.norm is None else self.norm(query)), patterns

    def forward(self, examples: Any, labels: Any, target: Any = None) -> Tensor:
        """Logits of the query's label, ``(M, B, n_labels)``.

        ``examples`` are ``(M, B, L + 1, input_dim)``, the query last; ``labels`` in context
        ``(M, B, L)``, a further column being ignored; ``target``, which some interventions need,
        ``(M, B)``. Where M = 1, the members axis may be left out of all of them and of the logits.
        """
        examples, labels, target, single = self.with_members(examples, labels, target)
        query, _ = self.hidden(examples, labels, target, last_only=True)
        logits: Tensor = self.unembedding(query)
        return logits[0] if single else logits

    def attention(self, examples: Any, labels: Any, target: Any = None) -> list[Tensor]:
        """Attention patterns of each layer, ``(M, B, H, T, T)`` or ``(B, H, T, T)``, T = 2L + 1.

        Arguments are those of `forward`. Row i is the attention of token i.
        """
        examples, labels, target, single = self.with_members(examples, labels, target)
        _, patterns = self.hidden(examples, labels, target, last_only=False)
        return [pattern[0] if single else pattern for pattern in patterns]

    def with_members(
        self, examples: Any, labels: Any, target: Any
    ) -> tuple[Tensor, Tensor, Tensor | None, bool]:
        """Checked inputs with the members axis, and whether it was left out."""
        device = self.unembedding.weight.device
        examples = to_tensor(examples, torch.float32, device)
        labels = to_tensor(labels, torch.int64, device)
        target = None if target is None else to_tensor(target, torch.int64, device)
        single = examples.ndim == 3
        if single:
            examples, labels = examples[None], labels[None]
            target = None if target is None else target[None]
        if examples.ndim != 4 or examples.shape[0] != self.members:
            raise ValueError(
                f"examples of shape {tuple(examples.shape)}: expected ({self.members}, batch, "
                f"context_len + 1, {self.settings.input_dim})"
            )
        if examples.shape[-1] != self.settings.input_dim:
            raise ValueError(
                f"examples have {examples.shape[-1]} entries, the network reads "
                f"network.input_dim = {self.settings.input_dim}"
            )
        context = examples.shape[2] - 1
        if labels.shape[:2] != examples.shape[:2] or labels.shape[2] not in (context, context + 1):
            raise ValueError(
                f"labels of shape {tuple(labels.shape)}: expected "
                f"{(*examples.shape[:2], context)} for these examples"
            )
        if 2 * context + 1 > self.max_tokens:
            raise ValueError(
                f"context_len = {context}: the network has positions for {self.max_tokens} tokens; "
                "raise network.max_context_len"
            )
        return examples, labels[:, :, :context], target, single


def max_tokens(settings: NetworkSettings) -> int:
    """Tokens of the longest sequence the network has positions for."""
    return max(LEARNED_POSITIONS, 2 * settings.max_context_len + 1)


def to_tensor(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Values (a tensor, an array, nested lists) as a tensor of the network's kind."""
    if isinstance(values, Tensor):
        return values.to(device=device, dtype=dtype)
    return torch.tensor(np.asarray(values), dtype=dtype, device=device)


def build_network(settings: NetworkSettings, generators: Sequence[torch.Generator]) -> Network:
    """A network with its starting weights on the CPU, one member for each generator."""
    network = Network(settings, len(generators))
    network.initialise(generators)
    return network
