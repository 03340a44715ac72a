"""What Adam's kernels read from the device: schedules, β, weight decay."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ...optimisation import decay
from ...optimisation.optimiser import Optimiser

NO_LOG = -1e30  # of 0: finite, so that 0⁰ = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """The optimizer's settings, on its device.

    Parameters
    ----------
    schedule
        lr, floor, warm-up and decay steps of each member, float64, shape ``(M, 4)``.
    logs
        log β₁ and log β₂, float64.
    names
        Parameters, in the order of the rows of `shrinks`.
    shrinks
        λ of each parameter and member, shape ``(parameters, M)``.
    """

    schedule: Tensor
    logs: Tensor
    names: tuple[str, ...]
    shrinks: Tensor

    def shrink(self, name: str) -> Tensor:
        """λ of a parameter, shape ``(M,)``."""
        return self.shrinks[self.names.index(name)]


def numbers_of(optimiser: Optimiser) -> Numbers:
    """Those of an optimizer."""
    device = optimiser.parameters.flat.device
    schedule = [
        (
            member.lr,
            min(member.lr_floor, member.lr),
            float(member.warmup_steps),
            float(member.decay_steps),
        )
        for member in optimiser.settings
    ]
    logs = [math.log(beta) if beta else NO_LOG for beta in optimiser.settings[0].betas]
    names = tuple(optimiser.parameters.views)
    strengths = [decay.strengths(optimiser.settings, name, device) for name in names]
    return Numbers(
        schedule=torch.tensor(schedule, dtype=torch.float64, device=device),
        logs=torch.tensor(logs, dtype=torch.float64, device=device),
        names=names,
        shrinks=torch.stack(strengths),
    )
