"""What is done to a network from outside while it trains: heads clamped, parts frozen or grafted.

An intervention is a small frozen description. `attach` turns it into what the hot loop needs: an
edit of attention scores and patterns, whose masks lie on the device so that nothing is copied or
waited for during a step, or a list of parameters that stay as they are.

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
    """One thing done to some heads, named ``"layer.head"``, both from 0.

    ``kind`` is ``"ablate"`` (the head adds nothing), ``"previous_token"`` or ``"matching_label"``
    (its attention is put there), ``"forbid_previous_token"`` or ``"forbid_matching_label"`` (never
    there), ``"temperature"`` (its scores are divided by `value`). Of forced attention `value` is
    the share put there; the rest stays on the token itself or on the other labels.
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
    """Parameters whose names begin with one of ``prefixes`` are not trained."""

    prefixes: tuple[str, ...]

    def frozen(self, network: Network) -> tuple[str, ...]:
        """Names of the parameters that stay."""
        names = [name for name, _ in network.named_parameters()]
        for prefix in self.prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise unknown_name("parameter to freeze", prefix, names)
        return tuple(name for name in names if name.startswith(self.prefixes))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Graft:
    """Layers of another network of equal width, put in and frozen.

    Layers below ``below`` are the other's with all embeddings, and layers from ``above`` on with
    the last normalisation and unembedding. ``weights`` are the other network's under our names,
    with or without the members axis.
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
    """Apply interventions to a network on its device; the parameters that must not be trained.

    Grafts overwrite weights, and edits of heads replace those attached before.

    Raises
    ------
    ValueError
        If a head, layer or parameter does not exist.
    CheckpointError
        If a graft does not fit.
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
    """Overwrite weights with those of every graft; after other weights were loaded, once more."""
    for part in interventions:
        if isinstance(part, Graft):
            part.put_in(network)


def from_settings(
    settings: InterventionSettings, graft: Mapping[str, Tensor] | None = None
) -> tuple[Intervention, ...]:
    """The interventions that settings ask for (but not the start from a checkpoint).

    ``graft`` are the weights of the checkpoint ``settings.graft_from``, under our names.
    """
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
            raise ValueError(
                f"graft_from = {settings.graft_from!r}: its weights must be read and given"
            )
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
