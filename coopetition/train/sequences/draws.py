"""Sequences of classes, exemplars and labels, drawn many at once on the device, as indices.

Classes are drawn exactly, some labels excluded, without rejection or waiting for the device. Class
``c`` owns ``w_c`` consecutive integers of ``0 … W-1``; a uniform integer picks its owner. Classes
that share a label are neighbours, so a label is an interval too. To exclude labels, draw an integer
below ``W`` minus their mass and, going through the excluded intervals from low to high, step over
each that begins at or below it. All arithmetic is in integers: an excluded label cannot come up.

The labels of a sequence follow one of five schemes:

===============  ===================================================================================
``true``         its class's label
``swapped``      the query's class and the distractor exchange labels, in context and as target
``binary``       the two classes get the labels 0 and 1, which is which at random
``random``       the two classes get two different labels at random (ICL-only data)
``query_copied`` the query's label replaces that of a random exemplar in context (CIWL-only data)
===============  ===================================================================================

References
----------
arXiv 2205.05055 (bursty sequences), 2311.08360, 2503.05631.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...settings.training import Labels, SequenceKind

TOTAL = 2**40  # mass that unequal probabilities are rounded to
OTHER, QUERY_CLASS, DISTRACTOR = 0, 1, 2  # roles of exemplars in context


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassDraws:
    """The distribution of classes."""

    ends: Tensor  # first integer after each class's, int64 (classes,)
    label_low: Tensor  # interval of each class's label, int64 (classes,)
    label_high: Tensor
    total: int  # W, the mass of all classes
    first: int = 0  # number of the first class

    def draw(self, n: int, excluded: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """Classes, int64 ``(n,)``, without the labels, all different, of ``excluded`` ones."""
        uniform = torch.rand(n, dtype=torch.float64, generator=generator, device=self.ends.device)
        if not excluded:
            return self.owner((uniform * self.total).long())
        index = torch.stack(list(excluded), dim=1) - self.first
        low, order = self.label_low[index].sort(dim=1)
        mass = self.label_high[index].gather(1, order) - low
        integers = (uniform * (self.total - mass.sum(dim=1))).long()
        for k in range(low.shape[1]):
            integers = torch.where(integers >= low[:, k], integers + mass[:, k], integers)
        return self.owner(integers)

    def owner(self, integers: Tensor) -> Tensor:
        """The class that owns each integer."""
        return torch.searchsorted(self.ends, integers, right=True) + self.first


def zipf_weights(n_classes: int, exponent: float, ranks: NDArray[np.integer]) -> NDArray[np.int64]:
    """Integer weights ``∝ (rank + 1)^-exponent``, at least 1; rank 0 is the most frequent."""
    if exponent == 0:
        return np.ones(n_classes, dtype=np.int64)
    probability = (1.0 + ranks) ** -exponent
    weights: NDArray[np.int64] = np.rint(TOTAL * probability / probability.sum()).astype(np.int64)
    return np.maximum(weights, 1)


def class_draws(
    labels: NDArray[np.int64],
    *,
    zipf_exponent: float = 0.0,
    first: int = 0,
    rng: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
) -> ClassDraws:
    """Draws of classes, whose ``labels`` ``(classes,)`` do not decrease.

    A class of rank r has probability ``∝ (r + 1)^-zipf_exponent``. Ranks are random with ``rng``,
    else in the classes' order, as in the reference.
    """
    if np.any(np.diff(labels) < 0):
        raise ValueError("labels decrease; order the classes by label")
    n = len(labels)
    ranks = np.arange(n) if rng is None else rng.permutation(n)
    ends = np.cumsum(zipf_weights(n, zipf_exponent, ranks))
    begins = np.concatenate([[0], ends[:-1]])
    low = begins[np.searchsorted(labels, labels, side="left")]
    high = ends[np.searchsorted(labels, labels, side="right") - 1]
    return ClassDraws(
        ends=torch.as_tensor(ends, device=device),
        label_low=torch.as_tensor(low, device=device),
        label_high=torch.as_tensor(high, device=device),
        total=int(ends[-1]),
        first=first,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SequenceIndices:
    """Sequences as indices, all int64; the query is the last of ``classes`` and ``exemplars``."""

    classes: Tensor  # (n, context_len + 1)
    exemplars: Tensor  # numbers within their classes, (n, context_len + 1)
    labels: Tensor  # in context, (n, context_len)
    target: Tensor  # the query's label, (n,)

    def where(self, condition: Tensor, other: SequenceIndices) -> SequenceIndices:
        """These sequences where ``condition`` ``(n,)`` holds, else the others."""
        column = condition[:, None]
        return SequenceIndices(
            classes=torch.where(column, self.classes, other.classes),
            exemplars=torch.where(column, self.exemplars, other.exemplars),
            labels=torch.where(column, self.labels, other.labels),
            target=torch.where(condition, self.target, other.target),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SequenceDraws:
    """The distribution of sequences."""

    draws: ClassDraws
    class_labels: Tensor  # int64 (classes,), looked up by class number less ``draws.first``
    n_labels: int
    exemplars: tuple[int, int]  # first exemplar and number of exemplars to choose from
    context_len: int  # exemplar–label pairs before the query
    kinds: Sequence[SequenceKind]  # mixed by share
    match_probability: float = 0.0
    label_noise: float = 0.0

    def draw(self, n: int, generator: torch.Generator) -> SequenceIndices:
        """``n`` sequences, with a generator on the device of the class distribution.

        Every kind is drawn ``n`` times and then chosen from, so that no shape is random.
        """
        first, *others = self.kinds
        sequences = self.draw_kind(first, n, generator)
        if not others:
            return sequences
        total = sum(kind.share for kind in self.kinds)
        choice = total * torch.rand(n, generator=generator, device=self.class_labels.device)
        end = first.share
        for kind in others:
            sequences = sequences.where(choice < end, self.draw_kind(kind, n, generator))
            end += kind.share
        return sequences

    def draw_kind(self, kind: SequenceKind, n: int, generator: torch.Generator) -> SequenceIndices:
        """``n`` sequences of one kind."""
        query, context, roles = self.draw_classes(kind, n, generator)
        exemplars = self.draw_exemplars(roles, generator)
        labels = self.class_labels[context - self.draws.first]
        target = self.class_labels[query - self.draws.first]
        if self.label_noise > 0:
            labels, target = with_noise(
                labels, target, roles, self.label_noise, self.n_labels, generator
            )
        labels, target = relabel(kind.labels, labels, target, roles, self.n_labels, generator)
        return SequenceIndices(
            classes=torch.cat([context, query[:, None]], dim=1),
            exemplars=exemplars,
            labels=labels,
            target=target,
        )

    def draw_classes(
        self, kind: SequenceKind, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The query's class ``(n,)``, classes in context and their roles ``(n, context_len)``."""
        query = self.draws.draw(n, (), generator)
        used, columns = [query], [query] * kind.burstiness
        if kind.burstiness and kind.distractor:
            distractor = self.draws.draw(n, used, generator)
            used.append(distractor)
            columns += [distractor] * kind.burstiness
        place = torch.arange(self.context_len, device=query.device)
        role = torch.where(place < len(columns), place // max(kind.burstiness, 1) + 1, OTHER)
        role = role.expand(n, -1)
        for _ in range(self.context_len - len(columns)):
            excluded = used if kind.no_support or kind.unique_rest else ()
            columns.append(self.draws.draw(n, excluded, generator))
            if kind.unique_rest:
                used = [*used, columns[-1]]
        context = torch.stack(columns, dim=1)
        if kind.burstiness:
            keys = torch.rand((n, self.context_len), generator=generator, device=query.device)
            order = keys.argsort(dim=1)
            context, role = context.gather(1, order), role.gather(1, order)
        return query, context, role

    def draw_exemplars(self, roles: Tensor, generator: torch.Generator) -> Tensor:
        """Exemplars, the query's last, ``(n, context_len + 1)``; copies equal where matched."""
        n, length = roles.shape
        first, number = self.exemplars
        # the last column is the exemplar that a matched distractor's copies share
        numbers = torch.randint(
            first, first + number, (n, length + 2), generator=generator, device=roles.device
        )
        context, query, distractor = torch.split(numbers, [length, 1, 1], dim=1)
        if self.match_probability > 0:
            uniform = torch.rand((n, 1), generator=generator, device=roles.device)
            matched = uniform < self.match_probability
            context = torch.where(matched & (roles == QUERY_CLASS), query, context)
            context = torch.where(matched & (roles == DISTRACTOR), distractor, context)
        return torch.cat([context, query], dim=1)


def relabel(
    scheme: Labels,
    context: Tensor,
    target: Tensor,
    roles: Tensor,
    n_labels: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Labels in context ``(n, context_len)`` and target ``(n,)`` of a scheme, from the true ones.

    ``roles`` of the exemplars in context are `OTHER`, `QUERY_CLASS` or `DISTRACTOR`.
    """
    if scheme == "true":
        return context, target
    n, length = context.shape
    if scheme == "query_copied":
        where = torch.randint(length, (n, 1), generator=generator, device=context.device)
        return context.scatter(1, where, target[:, None]), target
    if scheme == "swapped":
        # the largest, because labels are not negative and others are masked to -1
        distractor = torch.where(roles == DISTRACTOR, context, -1).amax(dim=1)
        return assign(context, roles, distractor, target)
    if scheme == "binary":
        first = torch.randint(2, (n,), generator=generator, device=context.device)
        return assign(context, roles, first, 1 - first)
    first = torch.randint(n_labels, (n,), generator=generator, device=context.device)
    step = torch.randint(1, n_labels, (n,), generator=generator, device=context.device)
    return assign(context, roles, first, (first + step) % n_labels)


def assign(
    context: Tensor, roles: Tensor, of_query: Tensor, of_distractor: Tensor
) -> tuple[Tensor, Tensor]:
    """Labels in context and target with new labels ``(n,)`` of the two classes."""
    context = torch.where(roles == QUERY_CLASS, of_query[:, None], context)
    context = torch.where(roles == DISTRACTOR, of_distractor[:, None], context)
    return context, of_query


def with_noise(
    context: Tensor,
    target: Tensor,
    roles: Tensor,
    probability: float,
    n_labels: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Labels in context and target where each of the two classes may get a random label.

    Context and target still agree, so that copying stays right while remembering goes wrong.
    """
    shape, device = (2, len(target)), context.device
    noisy = torch.rand(shape, generator=generator, device=device) < probability
    random = torch.randint(n_labels, shape, generator=generator, device=device)
    of_query = torch.where(noisy[0], random[0], target)
    context = torch.where(roles == QUERY_CLASS, of_query[:, None], context)
    is_noisy = (roles == DISTRACTOR) & noisy[1][:, None]
    return torch.where(is_noisy, random[1][:, None], context), of_query
