"""Learning rates over optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...settings.training import OptimisationSettings


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


class Rates:
    """Present learning rates of an ensemble, in as many operations as one member's take.

    The numbers of `learning_rates`; what they depend on is put on the device once, so that a CUDA
    graph can compute them from the count of steps.

    Parameters
    ----------
    settings
        One for each of the M members, all of one schedule.
    device
        Where to compute.
    """

    def __init__(self, settings: Sequence[OptimisationSettings], device: torch.device) -> None:
        self.schedule = settings[0].schedule
        numbers = {
            "lr": [member.lr for member in settings],
            "floor": [min(member.lr_floor, member.lr) for member in settings],
            "warmup": [member.warmup_steps for member in settings],
            "rise": [max(member.warmup_steps, 1) for member in settings],
            "decay": [member.decay_steps for member in settings],
            "fall": [max(member.decay_steps - member.warmup_steps, 1) for member in settings],
        }
        self.numbers = {
            name: torch.tensor(values, dtype=torch.float64, device=device)
            for name, values in numbers.items()
        }
        steady = learning_rates(settings, torch.zeros((), device=device))
        self.steady = steady if self.schedule == "constant" else None

    def __call__(self, steps: Tensor) -> Tensor:
        """Rates after ``steps`` (no axes) steps, float32, shape ``(M,)``."""
        if self.steady is not None:
            return self.steady
        of, n = self.numbers, steps.to(torch.float64)
        rising = of["floor"] + (of["lr"] - of["floor"]) * n / of["rise"]
        if self.schedule == "warmup_decay":
            left = (1 - (n - of["warmup"]) / of["decay"]).clamp(0, 1)
            falling = of["floor"] + (of["lr"] - of["floor"]) * left.sqrt()
        else:
            done = ((n - of["warmup"]) / of["fall"]).clamp(0, 1)
            falling = of["lr"] / 2 * (1 + torch.cos(math.pi * done))
        return torch.where(n < of["warmup"], rising, falling).to(torch.float32)
