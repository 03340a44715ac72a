"""Small networks and batches for the tests of the trainer's engine."""

from __future__ import annotations

from typing import Any

import torch

from coopetition.settings.training import NetworkSettings
from coopetition.train.network.network import Network, build_network
from coopetition.train.sequences.batch import Batch

SMALL = {"n_labels": 30, "input_dim": 12, "width": 32, "heads": 4}


def small_network(members: int = 1, seed: int = 0, **settings: Any) -> Network:
    """A network whose every parameter (biases too) is away from its start."""
    generators = [torch.Generator().manual_seed(seed + i) for i in range(members)]
    network = build_network(NetworkSettings(**{**SMALL, **settings}), generators)
    with torch.no_grad():
        for parameter in network.parameters():
            for member, generator in zip(parameter, generators, strict=True):
                member.add_(torch.randn(member.shape, generator=generator), alpha=0.1)
    return network


def random_batch(
    network: Network, batch: int = 7, context: int = 2, seed: int = 0, members: int | None = None
) -> Batch:
    """Random exemplars; the query's label is one of those in context."""
    count = network.members if members is None else members
    generator = torch.Generator().manual_seed(1_000 + seed)
    settings = network.settings
    examples = torch.randn(count, batch, context + 1, settings.input_dim, generator=generator)
    labels = torch.rand(count, batch, settings.n_labels, generator=generator).argsort(-1)
    labels = labels[..., :context].contiguous()
    place = torch.randint(context, (count, batch, 1), generator=generator)
    return Batch(examples=examples, labels=labels, target=labels.gather(-1, place)[..., 0])


def member_of(batch: Batch, member: int) -> Batch:
    """The batch of one member alone."""
    part = slice(member, member + 1)
    return Batch(
        examples=batch.examples[part], labels=batch.labels[part], target=batch.target[part]
    )
