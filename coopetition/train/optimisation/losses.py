"""The losses that training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def losses(kind: str, logits: Tensor, target: Tensor) -> Tensor:
    """Mean loss of each member ``(M,)`` from logits z ``(M, batch, n_labels)``.

    ``cross_entropy``: −log softmax(z)[target]; ``mse``: ½ Σ_c (z_c − [c = target])².
    """
    if kind == "mse":
        # not F.one_hot, which reads its input: a GPU would have to be waited for
        one_hot = torch.zeros_like(logits).scatter_(-1, target[..., None], 1.0)
        return (logits - one_hot).square().sum(-1).mul(0.5).mean(-1)
    each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    return each.view(target.shape).mean(-1)
