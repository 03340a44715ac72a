"""How weights start: the distributions of the papers' networks, one generator a member."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# standard deviation of a unit normal cut at ±2, by which truncated draws are widened again
TRUNCATED_STD = 0.87962566103423978
EMBEDDING_STD = 0.02


def truncated_normal_(tensor: Tensor, std: float, generators: Sequence[torch.Generator]) -> None:
    """Fill member by member from a normal of width ``std`` cut at two standard deviations.

    Parameters
    ----------
    tensor
        Shape ``(members, …)``; filled in place.
    std
        Standard deviation before cutting.
    generators
        One for each member, so that a member's weights do not depend on the others' presence.
    """
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
