"""Sequences of classes, exemplars and labels, drawn many at once on the device.

A sequence holds indices only; `coopetition.train.sequences.batches` shows the exemplars they stand
for.

References
----------
arXiv 2205.05055 (bursty sequences), 2311.08360, 2503.05631.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ...settings.training import SequenceKind
from .batch import Batch
from .class_draws import ClassDraws
from .labels import DISTRACTOR, OTHER, QUERY_CLASS, relabel, with_noise

__all__ = ["Batch", "Drawn", "SequenceDraws"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Sequences as indices, all int64; the query is the last of ``classes`` and ``exemplars``."""

    classes: Tensor  # (n, context_len + 1)
    exemplars: Tensor  # which of its class, (n, context_len + 1)
    labels: Tensor  # in context, (n, context_len)
    target: Tensor  # the query's label, (n,)

    def where(self, condition: Tensor, other: Drawn) -> Drawn:
        """These sequences where ``condition`` ``(n,)`` holds, else the others."""
        column = condition[:, None]
        return Drawn(
            classes=torch.where(column, self.classes, other.classes),
            exemplars=torch.where(column, self.exemplars, other.exemplars),
            labels=torch.where(column, self.labels, other.labels),
            target=torch.where(condition, self.target, other.target),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SequenceDraws:
    """Everything sequences are drawn from."""

    draws: ClassDraws
    class_labels: Tensor  # int64 (classes,), looked up by class number less ``draws.first``
    n_labels: int
    exemplars: tuple[int, int]  # first exemplar and number of exemplars to choose from
    context_len: int  # exemplar–label pairs before the query
    kinds: Sequence[SequenceKind]  # mixed by share
    match_probability: float = 0.0
    label_noise: float = 0.0

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        """``n`` sequences; every kind is drawn ``n`` times and chosen from, so no shape is random.

        The generator must be on the device of the class distribution.
        """
        first, *others = self.kinds
        drawn = self.draw_kind(first, n, generator)
        if not others:
            return drawn
        total = sum(kind.share for kind in self.kinds)
        chosen = total * torch.rand(n, generator=generator, device=self.class_labels.device)
        end = first.share
        for kind in others:
            drawn = drawn.where(chosen < end, self.draw_kind(kind, n, generator))
            end += kind.share
        return drawn

    def draw_kind(self, kind: SequenceKind, n: int, generator: torch.Generator) -> Drawn:
        """``n`` sequences of one kind."""
        query, context, roles = self.draw_classes(kind, n, generator)
        exemplars = self.draw_exemplars(roles, generator)
        true = self.class_labels[context - self.draws.first]
        noisy = with_noise(
            true,
            self.class_labels[query - self.draws.first],
            roles,
            self.label_noise,
            n_labels=self.n_labels,
            generator=generator,
        )
        labelled = relabel(
            kind.labels,
            noisy.context,
            noisy.target,
            roles,
            n_labels=self.n_labels,
            generator=generator,
        )
        return Drawn(
            classes=torch.cat([context, query[:, None]], dim=1),
            exemplars=exemplars,
            labels=labelled.context,
            target=labelled.target,
        )

    def draw_classes(
        self, kind: SequenceKind, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Query's class ``(n,)``, classes in context and their roles ``(n, context_len)``."""
        query = self.draws.draw(n, (), generator)
        taken, columns = [query], [query] * kind.burstiness
        if kind.burstiness and kind.distractor:
            distractor = self.draws.draw(n, taken, generator)
            taken.append(distractor)
            columns += [distractor] * kind.burstiness
        place = torch.arange(self.context_len, device=query.device)
        role = torch.where(place < len(columns), place // max(kind.burstiness, 1) + 1, OTHER)
        role = role.expand(n, -1)
        for _ in range(self.context_len - len(columns)):
            excluded = taken if kind.no_support or kind.unique_rest else ()
            columns.append(self.draws.draw(n, excluded, generator))
            if kind.unique_rest:
                taken = [*taken, columns[-1]]
        context = torch.stack(columns, dim=1)
        if kind.burstiness:
            order = torch.rand(
                (n, self.context_len), generator=generator, device=query.device
            ).argsort(dim=1)
            context, role = context.gather(1, order), role.gather(1, order)
        return query, context, role

    def draw_exemplars(self, roles: Tensor, generator: torch.Generator) -> Tensor:
        """Exemplars, the query's last, ``(n, context_len + 1)``; copies equal where matched."""
        n, length = roles.shape
        first, number = self.exemplars
        # one column more than shown: the exemplar that a matched distractor's copies share
        drawn = torch.randint(
            first, first + number, (n, length + 2), generator=generator, device=roles.device
        )
        shown, query, distractor = drawn[:, :length], drawn[:, length], drawn[:, length + 1]
        if self.match_probability > 0:
            uniform = torch.rand((n, 1), generator=generator, device=roles.device)
            matched = uniform < self.match_probability
            shown = torch.where(matched & (roles == QUERY_CLASS), query[:, None], shown)
            shown = torch.where(matched & (roles == DISTRACTOR), distractor[:, None], shown)
        return torch.cat([shown, query[:, None]], dim=1)
