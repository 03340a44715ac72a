"""Batches as the network reads them, and blocks of sequences, stored as indices, that fill them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..data import Dataset
from .draws import SequenceIndices

ALIGNMENT = 16  # bytes: kernels need the addresses of batches to be multiples of it


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Sequences of every member of an ensemble."""

    # exemplars in context and the query last, float32 (members, batch, context_len + 1, input_dim)
    examples: Tensor
    labels: Tensor  # of the exemplars in context, int64 (members, batch, context_len)
    target: Tensor  # the query's label, int64 (members, batch)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of its tensors changed."""
        examples, labels = change(self.examples), change(self.labels)
        return Batch(examples=examples, labels=labels, target=change(self.target))


class Exemplars:
    """A data set on a device, and its exemplars looked up by index."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset = dataset
        n_classes, self.per_class, dim = dataset.exemplars.shape
        rows = np.array(dataset.exemplars).reshape(n_classes * self.per_class, dim)
        self.rows = torch.from_numpy(rows).to(device)

    def show(self, classes: Tensor, exemplars: Tensor) -> Tensor:
        """Exemplars as the network reads them, float32, shape ``(…, input_dim)``."""
        rows = self.rows.index_select(0, (classes * self.per_class + exemplars).flatten())
        if self.dataset.one_hot_dim:
            # not F.one_hot, which reads its input: a GPU would have to be waited for
            places = torch.arange(self.dataset.one_hot_dim, device=rows.device)
            rows = (rows[:, :1] == places).float()
        elif rows.dtype == torch.uint8:
            rows = rows.float() / 255
        return rows.view(*classes.shape, rows.shape[-1])


def show_members(
    data: Sequence[Exemplars], classes: Tensor, exemplars: Tensor, *, axis: int
) -> Tensor:
    """Each member's exemplars from its own data set; the indices have a members ``axis``."""
    if all(own is data[0] for own in data):
        return data[0].show(classes, exemplars)
    each = zip(data, classes.unbind(axis), exemplars.unbind(axis), strict=True)
    return torch.stack([own.show(*indices) for own, *indices in each], dim=axis)


class Block:
    """Sequences of every member for a number of batches, as indices.

    ``noise``, ``(batches · batch_size, context_len + 1, input_dim)`` or None, is added to each
    member's exemplars; ``shape`` is ``(batches, batch_size)``.
    """

    def __init__(
        self,
        data: Sequence[Exemplars],
        sequences: Sequence[SequenceIndices],
        noise: Sequence[Tensor | None],
        shape: tuple[int, int],
    ) -> None:
        def stacked(name: str) -> Tensor:
            """``(batches, members, batch_size, …)``."""
            parts = [getattr(own, name) for own in sequences]
            return torch.stack([part.view(*shape, *part.shape[1:]) for part in parts], dim=1)

        self.data = data
        self.classes, self.exemplars = stacked("classes"), stacked("exemplars")
        self.labels, self.target = stacked("labels"), stacked("target")
        self.noise = [None if n is None else n.view(*shape, *n.shape[1:]) for n in noise]

    def show(self, first: int, last: int) -> Batch:
        """The batches from ``first`` to before ``last``, with a leading axis for them."""
        part = slice(first, last)
        examples = show_members(self.data, self.classes[part], self.exemplars[part], axis=1)
        for member, noise in enumerate(self.noise):
            if noise is not None:
                examples[:, member] += noise[part]
        return Batch(examples=examples, labels=self.labels[part], target=self.target[part])


def batch_at(batches: Batch, place: int | slice) -> Batch:
    """One or some of the batches along a leading axis."""
    return batches.map(lambda part: part[place])
