"""Exemplars on a device, and blocks of sequences that are drawn at once and shown by and by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data import Dataset
from .batch import Batch
from .draws import Drawn

ALIGNMENT = 16  # bytes: of what addresses of batches that kernels read are multiples


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
            # no one_hot: on a CPU it reads its input, on which a device would have to wait
            places = torch.arange(self.dataset.one_hot_dim, device=rows.device)
            shown = (rows[:, :1] == places).float()
        elif rows.dtype == torch.uint8:
            shown = rows.float() / 255
        else:
            shown = rows
        return shown.view(*classes.shape, shown.shape[-1])


def show_members(
    data: Sequence[Exemplars], classes: Tensor, exemplars: Tensor, *, axis: int
) -> Tensor:
    """Exemplars of every member, each from its own data set.

    The indices have a members axis; where all have one data set, it is one operation.
    """
    if all(of_member is data[0] for of_member in data):
        return data[0].show(classes, exemplars)
    each = zip(data, classes.unbind(axis), exemplars.unbind(axis), strict=True)
    return torch.stack([own.show(of_class, number) for own, of_class, number in each], dim=axis)


class Block:
    """Sequences of every member for a number of batches, as indices.

    ``noise`` is what is added to each member's exemplars, ``(batches · batch_size, context_len + 1,
    input_dim)``, None for nothing; ``shape`` is ``(batches, batch_size)``.
    """

    def __init__(
        self,
        data: Sequence[Exemplars],
        drawn: Sequence[Drawn],
        noise: Sequence[Tensor | None],
        shape: tuple[int, int],
    ) -> None:
        def together(name: str) -> Tensor:
            """``(batches, members, batch_size, …)``."""
            parts = [getattr(sequences, name) for sequences in drawn]
            return torch.stack([part.view(*shape, *part.shape[1:]) for part in parts], dim=1)

        self.data = data
        self.classes, self.exemplars = together("classes"), together("exemplars")
        self.labels, self.target = together("labels"), together("target")
        self.noise = [
            None if added is None else added.view(*shape, *added.shape[1:]) for added in noise
        ]

    def show(self, first: int, last: int) -> Batch:
        """The batches from ``first`` to before ``last``, with a leading axis for them."""
        part = slice(first, last)
        examples = show_members(self.data, self.classes[part], self.exemplars[part], axis=1)
        for member, added in enumerate(self.noise):
            if added is not None:
                examples[:, member] += added[part]
        return Batch(examples=examples, labels=self.labels[part], target=self.target[part])


def batch_at(many: Batch, place: int) -> Batch:
    """One of several batches that have a leading axis."""
    return Batch(
        examples=many.examples[place], labels=many.labels[place], target=many.target[place]
    )
