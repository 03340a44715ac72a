"""Learning rates over optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .settings import OptimisationSettings


def learning_rates(settings: Sequence[OptimisationSettings], steps: Tensor) -> Tensor:
    """Learning rate of every member at each step.

    With n the number of steps done before, w = ``warmup_steps``, D = ``decay_steps`` and floor
    f = min(``lr_floor``, ``lr``):

    - ``constant``: lr
    - ``warmup_decay``: f + (lr − f)·n/w for n < w, then f + (lr − f)·√(1 − (n − w)/D), at least f
    - ``cosine``: f + (lr − f)·n/w for n < w, then (lr/2)·(1 + cos π(n − w)/(D − w)), at least 0

    Parameters
    ----------
    settings
        One for each of the M members.
    steps
        Steps done before, any shape; computed on its device, without synchronisation.

    Returns
    -------
    Tensor
        Float32, shape ``(*steps.shape, M)``.

    References
    ----------
    The first two are arXiv 2311.08360's; the third is optax's ``warmup_cosine_decay_schedule``.

    Examples
    --------
    >>> rising = OptimisationSettings(lr=1.0, lr_floor=0.0, schedule="warmup_decay", warmup_steps=4)
    >>> learning_rates([rising], torch.tensor([0, 2, 4])).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    n = steps.to(torch.float64)
    return torch.stack([rate(member, n) for member in settings], dim=-1).to(torch.float32)


def rate(settings: OptimisationSettings, n: Tensor) -> Tensor:
    """One member's learning rate at the steps ``n`` (float64)."""
    lr, floor = settings.lr, min(settings.lr_floor, settings.lr)
    if settings.schedule == "constant":
        return torch.full_like(n, lr)
    warmup, decay = settings.warmup_steps, settings.decay_steps
    rising = floor + (lr - floor) * n / max(warmup, 1)
    if settings.schedule == "warmup_decay":
        left = (1 - (n - warmup) / decay).clamp(0, 1)
        falling = floor + (lr - floor) * left.sqrt()
    else:
        done = ((n - warmup) / max(decay - warmup, 1)).clamp(0, 1)
        falling = lr / 2 * (1 + torch.cos(math.pi * done))
    return torch.where(n < warmup, rising, falling)
