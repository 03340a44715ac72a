"""Weight decay: of which kind, and on which part of the network.

The first paper's finding depends on where the decay acts, so parts are named here, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .settings import OptimisationSettings

PARTS = {
    "all": ("",),
    "attention": ("attention.",),
    "mlp": ("mlp.",),
    "encoder": ("exemplar.",),
    "embeddings": ("exemplar.", "label.", "position"),
}


def in_part(name: str, part: str) -> bool:
    """Whether the parameter ``name`` belongs to a part of the network.

    ``attention`` and ``mlp`` are the weights of these layers without the normalisations before
    them; ``encoder`` embeds exemplars; ``embeddings`` are those of exemplars, labels and positions.

    Examples
    --------
    >>> in_part("blocks.0.attention.qkv.weight", "attention"), in_part("label.weight", "mlp")
    (True, False)
    """
    inner = name.split(".", 2)[2] if name.startswith("blocks.") else name
    return inner.startswith(PARTS[part])


def kind_of(settings: OptimisationSettings) -> str:
    """The kind of decay: AdamW's is the decoupled one, whatever the settings say."""
    return "decoupled" if settings.optimizer == "adamw" else settings.weight_decay_kind


def gradient_of_decay(kind: str, weight: Tensor, strength: Tensor) -> Tensor:
    """What the decay adds to the gradient of one parameter.

    - ``squared``: the gradient of λ/2 ‖p‖², that is λ p
    - ``norm``: the gradient of λ ‖p‖ (the reference's sum over parameters of unsquared norms), that
      is λ p / ‖p‖, and 0 where p = 0
    - ``decoupled``: nothing; p shrinks by lr·λ·p beside the step (`shrinkage`)

    Parameters
    ----------
    kind
        One of the three.
    weight
        p, shape ``(members, …)``; the norm is each member's.
    strength
        λ of each member, shape ``(members,)``.
    """
    strength = strength.view(-1, *(1,) * (weight.ndim - 1))
    if kind == "squared":
        return strength * weight
    if kind == "norm":
        norm = weight.flatten(1).norm(dim=1).view(strength.shape)
        return torch.where(norm > 0, strength * weight / norm.clamp_min(1e-38), 0.0)
    return torch.zeros_like(weight)


def strengths(settings: Sequence[OptimisationSettings], name: str, device: torch.device) -> Tensor:
    """λ of each member for the parameter ``name``; 0 outside the part that decays."""
    values = [s.weight_decay if in_part(name, s.weight_decay_on) else 0.0 for s in settings]
    return torch.tensor(values, dtype=torch.float32, device=device)
