"""Interventions on a network in training: edited heads, frozen parameters, grafted layers.

An intervention is a small frozen description. `attach` turns it into edits of attention, whose
masks lie on the device so that no step waits for a copy, or into a list of frozen parameters.

References
----------
"Artificial optogenetics": arXiv 2404.07129, section 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import CheckpointError, unknown_name
from ...settings.training import InterventionSettings
from .attention_edits import (
    Ablation,
    ForbiddenMatchingLabel,
    ForbiddenPreviousToken,
    ForcedMatchingLabel,
    ForcedPreviousToken,
    HeadEdit,
    Temperature,
)
from .network import Network

EDITS: dict[str, type[HeadEdit]] = {
    "ablate": Ablation,
    "previous_token": ForcedPreviousToken,
    "matching_label": ForcedMatchingLabel,
    "forbid_previous_token": ForbiddenPreviousToken,
    "forbid_matching_label": ForbiddenMatchingLabel,
    "temperature": Temperature,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadIntervention:
    """An edit of one kind (a key of `EDITS`) of some heads, named ``"layer.head"``, both from 0.

    ``value`` is the share of attention that is forced, or the temperature.
    """

    kind: str
    heads: tuple[str, ...]
    value: float = 1.0

    def edit(self, network: Network) -> HeadEdit:
        """The edit for this network, its masks on the network's device."""
        if self.kind not in EDITS:
            raise unknown_name("intervention", self.kind, EDITS)
        return EDITS[self.kind](
            head_pairs(network, self.heads), self.value, n_heads=network.settings.heads,
            length=network.max_tokens, device=network.unembedding.weight.device,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Freeze:
    """Leaves parameters whose names begin with one of ``prefixes`` untrained."""

    prefixes: tuple[str, ...]

    def frozen(self, network: Network) -> tuple[str, ...]:
        """Names of the frozen parameters."""
        names = [name for name, _ in network.named_parameters()]
        for prefix in self.prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise unknown_name("parameter to freeze", prefix, names)
        return tuple(name for name in names if name.startswith(self.prefixes))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Graft:
    """Copies and freezes layers of another network of equal width.

    These are the layers below ``below`` with all embeddings, and the layers from ``above`` on with
    the last normalisation and unembedding. ``weights`` may have a members axis.
    """

    weights: Mapping[str, Tensor]
    below: int | None = None
    above: int | None = None

    def frozen(self, network: Network) -> tuple[str, ...]:
        """Names of the parameters that come from the other network."""
        if self.below is None and self.above is None:
            raise ValueError("graft: neither below nor above is given; give one of them")
        depth = network.settings.depth
        below = 0 if self.below is None else self.below
        above = depth if self.above is None else self.above
        for name, layer in (("below", below), ("above", above)):
            if not 0 <= layer <= depth:
                raise ValueError(f"graft {name} = {layer}: the network has layers 0 to {depth - 1}")
        layers = [layer for layer in range(depth) if layer < below or layer >= above]
        prefixes = [f"blocks.{layer}." for layer in layers]
        prefixes += ["exemplar.", "label.", "position"] if self.below is not None else []
        prefixes += ["norm.", "unembedding."] if self.above is not None else []
        named = network.named_parameters()
        return tuple(name for name, _ in named if name.startswith(tuple(prefixes)))

    def put_in(self, network: Network) -> None:
        """Overwrite the network's weights with the other's."""
        own = dict(network.named_parameters())
        with torch.no_grad():
            for name in self.frozen(network):
                other = self.weights.get(name)
                if other is None or other.shape not in (own[name].shape, own[name].shape[1:]):
                    shape = "missing" if other is None else f"of shape {tuple(other.shape)}"
                    raise CheckpointError(
                        f"graft: {name} is {shape} in the other network; graft from a checkpoint "
                        f"whose {name} has shape {tuple(own[name].shape)}"
                    )
                own[name].copy_(other)


Intervention = HeadIntervention | Freeze | Graft


def attach(network: Network, interventions: Sequence[Intervention]) -> tuple[str, ...]:
    """Apply interventions to a network on its device; the names of its frozen parameters.

    Grafts overwrite weights, and edits of heads replace those attached before.
    """
    network.edits = [
        part.edit(network) for part in interventions if isinstance(part, HeadIntervention)
    ]
    put_in_grafts(network, interventions)
    frozen: set[str] = set()
    for part in interventions:
        if isinstance(part, Graft | Freeze):
            frozen.update(part.frozen(network))
    return tuple(name for name, _ in network.named_parameters() if name in frozen)


def put_in_grafts(network: Network, interventions: Sequence[Intervention]) -> None:
    """Overwrite weights with those of every graft, also each time other weights are loaded."""
    for part in interventions:
        if isinstance(part, Graft):
            part.put_in(network)


def from_settings(
    settings: InterventionSettings, graft: Mapping[str, Tensor] | None = None
) -> tuple[Intervention, ...]:
    """The interventions that settings name; ``graft`` are the weights of ``graft_from``."""
    heads = {
        "ablate": settings.ablate_heads,
        "previous_token": settings.previous_token_heads,
        "matching_label": settings.matching_label_heads,
        "forbid_previous_token": settings.forbid_previous_token_heads,
        "forbid_matching_label": settings.forbid_matching_label_heads,
    }
    parts: list[Intervention] = [
        HeadIntervention(kind=kind, heads=names) for kind, names in heads.items() if names
    ]
    parts += [
        HeadIntervention(kind="temperature", heads=(head,), value=value)
        for head, value in settings.head_temperatures.items()
    ]
    if settings.freeze:
        parts.append(Freeze(prefixes=settings.freeze))
    if settings.graft_from is not None:
        if graft is None:
            raise ValueError(f"graft_from = {settings.graft_from!r}: give its weights as graft")
        parts.append(Graft(weights=graft, below=settings.graft_below, above=settings.graft_above))
    return tuple(parts)


def head_pairs(network: Network, heads: Sequence[str]) -> list[tuple[int, int]]:
    """``"layer.head"`` names as numbers, checked against the network."""
    settings = network.settings
    pairs = [(layer, head) for layer in range(settings.depth) for head in range(settings.heads)]
    known = {f"{layer}.{head}": (layer, head) for layer, head in pairs}
    for name in heads:
        if name not in known:
            raise unknown_name("head", name, known)
    return [known[name] for name in heads]
