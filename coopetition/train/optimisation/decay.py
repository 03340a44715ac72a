"""Weight decay: its kinds, and the parts of the network it acts on.

With strength λ and learning rate lr, a weight p that decays

- ``squared``: has λ/2 ‖p‖² added to the loss, so λ p to its gradient;
- ``norm``: has λ ‖p‖ added to the loss (the reference's sum of unsquared norms over parameters);
- ``decoupled``: shrinks by lr·λ·p beside the optimizer's step (AdamW).

The first paper's finding depends on the part that decays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...settings.training import OptimisationSettings

TINY = 1e-38  # keeps the division by a norm of 0 finite
PARTS = {
    "all": ("",),
    "attention": ("attention.",),
    "mlp": ("mlp.",),
    "encoder": ("exemplar.",),
    "embeddings": ("exemplar.", "label.", "position"),
}


def in_part(name: str, part: str) -> bool:
    """Whether the parameter ``name`` belongs to a part of the network, a key of `PARTS`.

    ``attention`` and ``mlp`` exclude the normalisations before them.
    """
    inner = name.split(".", 2)[2] if name.startswith("blocks.") else name
    return inner.startswith(PARTS[part])


def kind_of(settings: OptimisationSettings) -> str:
    """The kind of decay: AdamW's is the decoupled one, whatever the settings say."""
    return "decoupled" if settings.optimizer == "adamw" else settings.weight_decay_kind


def strength(settings: OptimisationSettings, name: str) -> float:
    """λ of the parameter ``name``; 0 outside the part that decays."""
    return settings.weight_decay if in_part(name, settings.weight_decay_on) else 0.0


def strengths(settings: Sequence[OptimisationSettings], name: str, device: torch.device) -> Tensor:
    """λ of each member for the parameter ``name``, shape ``(members,)``."""
    values = [strength(member, name) for member in settings]
    return torch.tensor(values, dtype=torch.float32, device=device)


def gradient_of_norm(weight: Tensor, strength: Tensor) -> Tensor:
    """The gradient of λ ‖p‖, λ p / ‖p‖ (0 where p = 0), for p ``(M, …)`` and λ ``(M,)``."""
    norm = weight.flatten(1).norm(dim=1).clamp_min(TINY)
    gradient: Tensor = weight * (strength / norm).view(-1, *(1,) * (weight.ndim - 1))
    return gradient
