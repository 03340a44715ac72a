"""Adam, AdamW and SGD over one flat buffer that holds every parameter of every member.

Parameters become views of the buffer, one after the other, each with its members first; so do
gradients and moments. Where all members share their numbers and nothing decays or is frozen, an
update is one fused operation on the whole buffer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ...settings.training import SETTINGS, OptimisationSettings
from ..network.network import Network
from . import decay
from .decay import TINY
from .schedules import Rates

SMALLEST_MOMENTS = (1e-26, 1e-36)


class Buffer:
    """A flat tensor and its views, one for each parameter."""

    def __init__(self, network: Network) -> None:
        named = dict(network.named_parameters())
        sizes = [parameter.numel() for parameter in named.values()]
        device = next(iter(named.values())).device
        self.flat = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        parts = torch.split(self.flat, sizes)
        self.views = {
            name: part.view(parameter.shape)
            for (name, parameter), part in zip(named.items(), parts, strict=True)
        }

    def of_member(self, member: int) -> dict[str, Tensor]:
        """Views of one member's part, its members axis of length 1."""
        return {name: view[member : member + 1] for name, view in self.views.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Tensors that are updated with the same numbers."""

    member: int  # whose learning rate they have
    shrink: float  # λ of squared or decoupled decay
    tensors: tuple[list[Tensor], ...]  # parameters, gradients and each moment, of equal length


class Optimiser:
    """The state of an optimizer, and its step, with settings for each member.

    The network's parameters move into a flat buffer (their ``data`` become views); those that
    ``frozen`` names are not trained.
    """

    def __init__(
        self, network: Network, settings: Sequence[OptimisationSettings], frozen: Sequence[str]
    ) -> None:
        check_shared(settings)
        self.settings, self.kind = tuple(settings), decay.kind_of(settings[0])
        self.network, self.parameters = network, Buffer(network)
        for name, parameter in network.named_parameters():
            self.parameters.views[name].copy_(parameter.detach())
            parameter.data = self.parameters.views[name]
            parameter.requires_grad_(name not in frozen)
        self.moments = [Buffer(network) for _ in range(0 if settings[0].optimizer == "sgd" else 2)]
        device = self.parameters.flat.device
        self.steps = torch.zeros((), dtype=torch.int64, device=device)
        self.count = torch.zeros((), dtype=torch.float32, device=device)  # what fused Adam reads
        self.trained = [name for name in self.parameters.views if name not in frozen]
        self.strengths = {
            name: decay.strengths(settings, name, device)
            for name in self.trained
            if any(decay.strength(member, name) > 0 for member in settings)
        }
        self.rates = Rates(settings, device)

    @property
    def leaves_gradients(self) -> bool:
        """Whether an update leaves gradients of 0 at 0."""
        return self.kind != "norm" or not self.strengths

    @functools.cached_property
    def gradients(self) -> Buffer:
        """The gradients; made at first use, since fused kernels need none."""
        gradients = Buffer(self.network)
        for name, parameter in self.network.named_parameters():
            parameter.grad = gradients.views[name]
        return gradients

    def forget_gradients(self) -> None:
        """Free the buffer of gradients until it is needed again."""
        for parameter in self.network.parameters():
            parameter.grad = None
        for name in ("gradients", "groups"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def groups(self) -> list[Group]:
        """Parameters, grouped by the numbers their update needs."""
        buffers = (self.parameters, self.gradients, *self.moments)
        alike = len(set(self.settings)) == 1
        if alike and not self.strengths and len(self.trained) == len(self.parameters.views):
            whole = tuple([buffer.flat] for buffer in buffers)
            return [Group(member=0, shrink=0.0, tensors=whole)]
        groups = []
        for index, member in enumerate(self.settings[:1] if alike else self.settings):
            own = slice(None) if alike else slice(index, index + 1)
            shrink = {
                name: 0.0 if self.kind == "norm" else decay.strength(member, name)
                for name in self.trained
            }
            for value in sorted(set(shrink.values())):
                names = [name for name in self.trained if shrink[name] == value]
                lists = tuple([buffer.views[name][own] for name in names] for buffer in buffers)
                groups.append(Group(member=index, shrink=value, tensors=lists))
        return groups

    @torch.no_grad()
    def clip(self) -> None:
        """Scale each member's gradient down to the largest norm allowed."""
        largest = self.settings[0].clip_norm
        if largest is None:
            return
        views = [self.gradients.views[name] for name in self.trained]
        squares = sum(view.square().flatten(1).sum(1) for view in views)
        scale = (largest / torch.as_tensor(squares).sqrt().clamp_min(TINY)).clamp_max(1.0)
        for view in views:
            view.mul_(scale.view(-1, *(1,) * (view.ndim - 1)))

    @torch.no_grad()
    def sweep(self) -> None:
        """Set moments too small to matter to 0.

        The moments of a label that is not drawn for a thousand steps become denormal numbers, with
        which a CPU is twenty times slower. The cut changes a weight by less than 1e-18·lr.
        """
        if self.steps.device.type == "cpu":
            for moment, smallest in zip(self.moments, SMALLEST_MOMENTS, strict=False):
                torch.hardshrink(moment.flat, smallest, out=moment.flat)

    @torch.no_grad()
    def update(self) -> None:
        """One step down the gradients now in the buffer.

        With g the gradient (and what decay adds), t the step's number from 1:
        m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε);
        SGD is p ← p − lr·g (Kingma & Ba 2014; Loshchilov & Hutter 2017 for the decoupled decay).
        """
        rates = self.rates(self.steps)
        if self.kind == "norm":
            for name, strength in self.strengths.items():
                weight = self.parameters.views[name]
                self.gradients.views[name].add_(decay.gradient_of_norm(weight, strength))
        self.steps += 1
        self.count.copy_(self.steps)
        for group in self.groups:
            self.update_group(group, rates[group.member])

    def update_group(self, group: Group, rate: Tensor) -> None:
        """Update tensors that share a learning rate and a weight decay."""
        weights, gradients = group.tensors[:2]
        if not self.moments:  # for plain descent squared and decoupled decay are the same
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.mul_(1 - rate * group.shrink).sub_(gradient * rate)
            return
        (beta1, beta2), eps = self.settings[0].betas, self.settings[0].eps
        decoupled = self.kind == "decoupled" and group.shrink > 0
        fused = torch._fused_adamw_ if decoupled else torch._fused_adam_
        first, second = group.tensors[2:]
        fused(
            weights, gradients, first, second, [], [self.count] * len(weights),
            lr=rate, beta1=beta1, beta2=beta2, weight_decay=group.shrink, eps=eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip


def check_shared(settings: Sequence[OptimisationSettings]) -> None:
    """Refuse members that differ in settings that an ensemble must share."""
    for setting in SETTINGS:
        if setting.section != "optimisation" or setting.members == "differ":
            continue
        values = {getattr(member, setting.name) for member in settings}
        if len(values) > 1:
            raise ValueError(
                f"{setting.path} = {', '.join(sorted(map(str, values)))}: members of one "
                "ensemble must share it; train these as separate ensembles"
            )
