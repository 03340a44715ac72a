"""Learning rates over optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...settings.training import OptimisationSettings


class Rates:
    """Learning rates of M members, of one schedule, at any number of steps.

    With n the number of steps done before, w = ``warmup_steps``, D = ``decay_steps`` and floor
    f = min(``lr_floor``, ``lr``):

    - ``constant``: lr
    - ``warmup_decay``: f + (lr − f)·n/w for n < w, then f + (lr − f)·√(1 − (n − w)/D), at least f
    - ``cosine``: f + (lr − f)·n/w for n < w, then (lr/2)·(1 + cos π(n − w)/(D − w)), at least 0

    The first two are arXiv 2311.08360's; the third is optax's ``warmup_cosine_decay_schedule``.
    Their numbers are put on the device once, so that a CUDA graph can compute them from the count
    of steps. ``steady`` are the rates ``(M,)`` where they are constant, or None.
    """

    def __init__(self, settings: Sequence[OptimisationSettings], device: torch.device) -> None:
        def numbers(*values: float) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        self.schedule = settings[0].schedule
        self.lr = numbers(*(member.lr for member in settings))
        self.floor = numbers(*(min(member.lr_floor, member.lr) for member in settings))
        self.warmup = numbers(*(member.warmup_steps for member in settings))
        self.decay = numbers(*(member.decay_steps for member in settings))
        self.rise, self.fall = self.warmup.clamp_min(1), (self.decay - self.warmup).clamp_min(1)
        self.steady = self.lr.to(torch.float32) if self.schedule == "constant" else None

    def __call__(self, steps: Tensor) -> Tensor:
        """Rates after ``steps`` (any shape) steps, float32, shape ``(*steps.shape, M)``."""
        if self.steady is not None:
            return self.steady.expand(*steps.shape, -1) if steps.ndim else self.steady
        n = steps.to(torch.float64).unsqueeze(-1)
        rising = self.floor + (self.lr - self.floor) * n / self.rise
        if self.schedule == "warmup_decay":
            rest = (1 - (n - self.warmup) / self.decay).clamp(0, 1)
            falling = self.floor + (self.lr - self.floor) * rest.sqrt()
        else:
            progress = ((n - self.warmup) / self.fall).clamp(0, 1)
            falling = self.lr / 2 * (1 + torch.cos(math.pi * progress))
        return torch.where(n < self.warmup, rising, falling).to(torch.float32)
