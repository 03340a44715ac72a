"""Adam, AdamW and SGD over one flat buffer that holds every parameter of every member.

Parameters become views of the buffer, one after the other, each with its members first; so do
gradients and moments. An update is then a handful of operations whatever the network's size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from . import decay
from .network import Network
from .schedules import learning_rates
from .settings import OptimisationSettings

SHARED = (
    "optimizer", "betas", "eps", "schedule", "loss", "weight_decay_kind", "weight_decay_on",
    "clip_norm", "micro_batches", "batch_size", "reinitialise_embeddings_every",
    "reinitialise_embeddings_until",
)  # fmt: skip


class Buffer:
    """A flat tensor and its views, one for each parameter."""

    def __init__(self, network: Network) -> None:
        named = dict(network.named_parameters())
        first = next(iter(named.values()))
        self.flat = torch.zeros(
            sum(p.numel() for p in named.values()), dtype=torch.float32, device=first.device
        )
        parts = torch.split(self.flat, [p.numel() for p in named.values()])
        self.views = {
            name: part.view(p.shape) for (name, p), part in zip(named.items(), parts, strict=True)
        }


class Optimiser:
    """The state of an optimizer, and its step.

    Parameters
    ----------
    network
        Its parameters are moved into a flat buffer (their ``data`` become views).
    settings
        One for each member. Members may differ in the numbers ``lr``, ``lr_floor``,
        ``warmup_steps``, ``decay_steps`` and ``weight_decay``.
    frozen
        Names of parameters that stay as they are.
    """

    def __init__(
        self, network: Network, settings: Sequence[OptimisationSettings], frozen: Sequence[str]
    ) -> None:
        check_shared(settings)
        self.settings, self.kind = tuple(settings), decay.kind_of(settings[0])
        self.parameters, self.gradients = Buffer(network), Buffer(network)
        for name, parameter in network.named_parameters():
            self.parameters.views[name].copy_(parameter.detach())
            parameter.data = self.parameters.views[name]
            parameter.grad = self.gradients.views[name]
        self.device = self.parameters.flat.device
        self.moments = [Buffer(network) for _ in range(0 if settings[0].optimizer == "sgd" else 2)]
        self.steps = torch.zeros((), dtype=torch.int64, device=self.device)
        decayed = any(s.weight_decay > 0 for s in settings)
        self.strengths = {
            name: decay.strengths(settings, name, self.device)
            for name in self.parameters.views
            if decayed and name not in frozen
        }
        self.frozen = tuple(frozen)
        members = torch.arange(network.members, device=self.device)
        self.owner = torch.cat(  # of each entry of the buffer: which member's it is
            [
                members.repeat_interleave(view[0].numel())
                for view in self.parameters.views.values()
            ]
        )  # fmt: skip

    @torch.no_grad()
    def clip(self) -> None:
        """Scale each member's gradient down to the largest norm allowed."""
        largest = self.settings[0].clip_norm
        if largest is None:
            return
        members = len(self.settings)
        squares = torch.zeros(members, device=self.device)
        squares = squares.index_add(0, self.owner, self.gradients.flat.square())
        scale = (largest / squares.sqrt().clamp_min(1e-38)).clamp_max(1.0)
        self.gradients.flat.mul_(scale[self.owner])

    @torch.no_grad()
    def update(self) -> None:
        """One step down the gradients now in the buffer.

        With g the gradient (and what decay adds), t the step's number from 1:
        m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε);
        SGD is p ← p − lr·g (Kingma & Ba 2014; Loshchilov & Hutter 2017 for the decoupled decay).
        """
        p, g = self.parameters.flat, self.gradients.flat
        lr = learning_rates(self.settings, self.steps)
        lr = lr[0] if len(self.settings) == 1 else lr[self.owner]
        for name, strength in self.strengths.items():
            weight = self.parameters.views[name]
            self.gradients.views[name].add_(decay.gradient_of_decay(self.kind, weight, strength))
        for name in self.frozen:
            self.gradients.views[name].zero_()
        self.steps += 1
        if not self.moments:
            direction = g
        else:
            (beta1, beta2), eps = self.settings[0].betas, self.settings[0].eps
            m, v = (moment.flat for moment in self.moments)
            t = self.steps.to(torch.float64)
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            root = (v / (1 - beta2**t).to(torch.float32)).sqrt_().add_(eps)
            direction = (m / (1 - beta1**t).to(torch.float32)).div_(root)
        if self.kind == "decoupled":
            for name, strength in self.strengths.items():
                weight = self.parameters.views[name]
                shape = (-1, *(1,) * (weight.ndim - 1))
                rates = learning_rates(self.settings, self.steps - 1)
                weight.mul_(1 - (rates * strength).view(shape))
        p.sub_(direction * lr)


def check_shared(settings: Sequence[OptimisationSettings]) -> None:
    """Refuse members whose settings differ in more than numbers a batched step can carry."""
    for name in SHARED:
        values = {getattr(member, name) for member in settings}
        if len(values) > 1:
            raise ValueError(
                f"optimisation.{name} = {sorted(map(str, values))}: members of one ensemble must "
                "share it; train these as separate ensembles"
            )
