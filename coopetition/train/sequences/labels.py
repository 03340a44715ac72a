"""Which label each exemplar of a sequence carries.

===============  ===================================================================================
``true``         its class's label
``swapped``      the query's class and the distractor exchange labels, in context and as target
``binary``       the two classes get the labels 0 and 1, which is which at random
``random``       the two classes get two different labels at random (ICL-only data)
``query_copied`` the query's label replaces that of a random exemplar in context (CIWL-only data)
===============  ===================================================================================
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ...settings.training import Labels

# what an exemplar in context is to its sequence
OTHER, QUERY_CLASS, DISTRACTOR = 0, 1, 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Labels in context ``(n, context_len)`` and of the query ``(n,)``, int64."""

    context: Tensor
    target: Tensor


def relabel(
    scheme: Labels,
    context: Tensor,
    target: Tensor,
    roles: Tensor,
    *,
    n_labels: int,
    generator: torch.Generator,
) -> Labelled:
    """Labels by one of the schemes above, from the true ones ``(n, context_len)`` and ``(n,)``.

    ``roles`` says of each exemplar in context `OTHER`, `QUERY_CLASS` or `DISTRACTOR`.
    """
    if scheme == "true":
        return Labelled(context=context, target=target)
    n, length = context.shape
    if scheme == "query_copied":
        where = torch.randint(length, (n, 1), generator=generator, device=context.device)
        return Labelled(context=context.scatter(1, where, target[:, None]), target=target)
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


def assign(context: Tensor, roles: Tensor, of_query: Tensor, of_distractor: Tensor) -> Labelled:
    """The two classes' labels replaced by the given ones, shapes ``(n,)``."""
    context = torch.where(roles == QUERY_CLASS, of_query[:, None], context)
    context = torch.where(roles == DISTRACTOR, of_distractor[:, None], context)
    return Labelled(context=context, target=of_query)


def with_noise(
    context: Tensor,
    target: Tensor,
    roles: Tensor,
    probability: float,
    *,
    n_labels: int,
    generator: torch.Generator,
) -> Labelled:
    """A class's label replaced by a random one throughout its sequence, with a probability.

    The query's class and the distractor each; context and target still agree, so that copying
    stays right while remembering goes wrong.
    """
    if probability == 0:
        return Labelled(context=context, target=target)
    shape = (2, len(target))
    device = context.device
    noisy = torch.rand(shape, generator=generator, device=device) < probability
    random = torch.randint(n_labels, shape, generator=generator, device=device)
    of_query = torch.where(noisy[0], random[0], target)
    is_query, is_distractor = roles == QUERY_CLASS, roles == DISTRACTOR
    context = torch.where(is_query, of_query[:, None], context)
    context = torch.where(is_distractor & noisy[1][:, None], random[1][:, None], context)
    return Labelled(context=context, target=of_query)
