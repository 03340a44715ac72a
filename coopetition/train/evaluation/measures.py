"""Measures of a network's circuits: where heads attend, and how large their weights are.

References
----------
Previous-token and induction heads: Olsson et al. (2022), "In-context learning and induction heads";
induction strength as the difference of attention: arXiv 2404.07129, section 3.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..network.attention_edits import Matches
from ..network.layers import Block
from ..network.network import Network
from ..sequences.batch import Batch

Floats = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CircuitMeasures:
    """Measures of every head and part of a network; M members, L layers, H heads.

    Attention is the query's, the mean over sequences with a match; norms are Frobenius norms.
    """

    induction: Floats  # to labels that match its own minus that to others (M, L, H)
    matching: Floats  # to exemplars of its class minus that to others (M, L, H)
    previous_token: Floats  # of labels to the token before, their exemplar (M, L, H)
    query_key: Floats  # norm of W_Qᵀ W_K, which decides where a head attends (M, L, H)
    output_value: Floats  # norm of W_O W_V, which decides what it moves (M, L, H)
    mlp: Floats  # norm of W₂ times that of W₁ (M, L); 0 without MLP
    embeddings: Floats  # norms for exemplars, labels, unembedding (M, 3)

    def as_columns(self, member: int) -> dict[str, float]:
        """One member's measures under flat names, such as ``induction.1.3`` for layer 1, head 3."""
        columns: dict[str, float] = {}
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)[member]
            for index in np.ndindex(values.shape):
                name = ".".join([field.name, *map(str, index)])
                columns[name] = float(values[index])
        return columns


@torch.no_grad()
def measure_circuits(network: Network, batch: Batch) -> CircuitMeasures:
    """Measure a network on sequences with matching labels in context, such as ``train``'s."""
    patterns = torch.stack(network.attention(batch.examples, batch.labels, batch.target), dim=1)
    labels = Matches(context=batch.labels, target=batch.target)
    match, other = labels.matching(), labels.other_labels()
    query = patterns[..., -1, :]  # (M, L, B, H, T)
    before = torch.diagonal(patterns, offset=-1, dim1=-2, dim2=-1)  # row t looks at t − 1
    blocks = [block for block in network.blocks if isinstance(block, Block)]
    circuits = [head_norms(block) for block in blocks]
    mlp = [mlp_norm(block, network.members) for block in blocks]
    parts = (network.exemplar, network.label, network.unembedding)
    embeddings = [
        torch.stack([weight.flatten(1).square().sum(1) for weight in part.parameters()]).sum(0)
        for part in parts
    ]
    return CircuitMeasures(
        induction=to_array(difference(query, match, other)),
        matching=to_array(difference(query, match.roll(-1, -1), other.roll(-1, -1))),
        previous_token=to_array(before[..., 0::2].mean((2, 4))),
        query_key=to_array(torch.stack([circuit[0] for circuit in circuits], 1)),
        output_value=to_array(torch.stack([circuit[1] for circuit in circuits], 1)),
        mlp=to_array(torch.stack(mlp, 1)),
        embeddings=to_array(torch.stack(embeddings, 1).sqrt()),
    )


def difference(query: Tensor, match: Tensor, other: Tensor) -> Tensor:
    """Attention ``(M, L, B, H, T)`` to ``match`` ``(M, B, T)`` minus that to ``other``.

    The mean over sequences with a match, ``(M, L, H)``; NaN where there is none.
    """
    sign = match.float() - other.float()
    differences = torch.einsum("mlbht,mbt->mlbh", query, sign)
    has_match = match.any(-1).float()
    sums = torch.einsum("mlbh,mb->mlh", differences, has_match)
    return sums / has_match.sum(-1).view(-1, 1, 1)


def head_norms(block: Block) -> tuple[Tensor, Tensor]:
    """‖W_Qᵀ W_K‖ and ‖W_O W_V‖ of each head, ``(M, H)`` both."""
    attention = block.attention
    members, _, width = attention.qkv.weight.shape
    size = width // attention.heads
    q, k, v = attention.qkv.weight.view(members, 3, attention.heads, size, width).unbind(1)
    out = attention.projection.weight.view(members, width, attention.heads, size).transpose(1, 2)
    return (q.mT @ k).flatten(2).norm(dim=2), (out @ v).flatten(2).norm(dim=2)


def mlp_norm(block: Block, members: int) -> Tensor:
    """‖W₂‖ ‖W₁‖, ``(M,)``."""
    if block.mlp is None:
        return torch.zeros(members, device=block.attention.qkv.weight.device)
    inner, outer = block.mlp.inner.weight, block.mlp.outer.weight
    norms: Tensor = inner.flatten(1).norm(dim=1) * outer.flatten(1).norm(dim=1)
    return norms


def to_array(values: Tensor) -> Floats:
    """A read-only array of a tensor's values."""
    array: Floats = values.float().cpu().numpy()
    array.setflags(write=False)
    return array
