"""Exact draws of classes, some labels excluded, without rejection or host round trips.

Class ``c`` owns ``w_c`` consecutive integers of ``0 … W-1``; a uniform integer picks its owner.
Classes that share a label are neighbours, so a label is an interval too. To draw while excluding
labels, draw an integer below ``W`` minus their mass and, going through the excluded intervals from
low to high, step over each that begins at or below it. All arithmetic is in integers: an excluded
label can never come up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOTAL = 2**40  # mass that unequal probabilities are rounded to


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassDraws:
    """The distribution that classes are drawn from."""

    ends: Tensor  # first integer after each class's, int64 (classes,)
    label_low: Tensor  # interval of each class's label, int64 (classes,)
    label_high: Tensor
    total: int  # W, the mass of all classes
    first: int = 0  # number of the first class

    def draw(self, n: int, excluded: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """Classes, int64, shape ``(n,)``, none with a label of the ``excluded`` classes ``(n,)``.

        The excluded classes must have different labels.
        """
        uniform = torch.rand(n, dtype=torch.float64, generator=generator, device=self.ends.device)
        if not excluded:
            return self.owner((uniform * self.total).long())
        index = torch.stack(list(excluded), dim=1) - self.first
        low, order = self.label_low[index].sort(dim=1)
        mass = self.label_high[index].gather(1, order) - low
        drawn = (uniform * (self.total - mass.sum(dim=1))).long()
        for k in range(low.shape[1]):
            drawn = torch.where(drawn >= low[:, k], drawn + mass[:, k], drawn)
        return self.owner(drawn)

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
    """Draws from classes with the given labels ``(classes,)``, non-decreasing.

    A class of rank r is drawn with probability ``∝ (r + 1)^-zipf_exponent``. ``rng`` ranks the
    classes at random; without it they are ranked in their order, as the reference does.
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
