"""The reference's eight metrics of a query's logits, for every sequence.

With logits z over all labels, p = softmax(z), target y and S the set of labels in context:

==================  ==========================================================================
``loss``            −log p_y, in nats
``acc``             y is the largest of all logits
``in_context_acc``  y is the largest of the logits in S (0 where y is not in S)
``out_context_acc`` y is the largest of the logits outside S (0 where y is in S)
``prob``            p_y
``in_context_prob`` p_y / Σ_S p, or 0 where y is not in S
``out_context_prob``  p_y / Σ_{not S} p, or 0 where y is in S
``use_context_prob``  Σ_S p
==================  ==========================================================================
"""

from __future__ import annotations

import torch
from torch import Tensor

METRICS = (
    "loss",
    "acc",
    "in_context_acc",
    "out_context_acc",
    "prob",
    "in_context_prob",
    "out_context_prob",
    "use_context_prob",
)
ACCURACIES = ("acc", "in_context_acc", "out_context_acc")


def metrics(logits: Tensor, labels: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Each of `METRICS` for every sequence, float32, shape ``(members, n)``.

    ``logits`` are ``(members, n, n_labels)``, ``labels`` in context ``(members, n, context_len)``,
    any of which may repeat, ``target`` ``(members, n)``. Ties go to the smallest label. Only the
    labels in context are gathered, so the cost is a few passes over the logits.
    """
    n_labels = logits.shape[-1]
    of_target = logits.gather(-1, target[..., None])[..., 0]
    in_context = logits.gather(-1, labels)
    outside = logits.scatter(-1, labels, -torch.inf)
    # log-sums over the labels in context (each once) and outside them
    repeated = (labels[..., :, None] == labels[..., None, :]).tril(-1).any(-1)
    inside_sum = in_context.masked_fill(repeated, -torch.inf).logsumexp(-1)
    outside_sum = outside.logsumexp(-1)
    total = torch.logaddexp(inside_sum, outside_sum)
    supported = (labels == target[..., None]).any(-1)

    best = in_context.amax(-1, keepdim=True)
    chosen = torch.where(in_context == best, labels, n_labels).amin(-1)
    best_outside, chosen_outside = outside.max(-1)
    # the larger side wins; where both are equal the smaller label
    inside_wins = (best[..., 0] > best_outside) | (
        (best[..., 0] == best_outside) & (chosen < chosen_outside)
    )
    zero = torch.zeros_like(of_target)
    return {
        "loss": total - of_target,
        "acc": (torch.where(inside_wins, chosen, chosen_outside) == target).float(),
        "in_context_acc": (chosen == target).float(),
        "out_context_acc": torch.where(supported, zero, (chosen_outside == target).float()),
        "prob": (of_target - total).exp(),
        "in_context_prob": torch.where(supported, (of_target - inside_sum).exp(), zero),
        "out_context_prob": torch.where(supported, zero, (of_target - outside_sum).exp()),
        "use_context_prob": (inside_sum - total).exp(),
    }
