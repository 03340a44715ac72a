"""One batch of sequences, as the network reads it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


ALIGNMENT = 16  # bytes: of what addresses of batches that kernels read are multiples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Sequences of every member of an ensemble; a single run is an ensemble of one.

    Parameters
    ----------
    examples
        Exemplars in context and the query last, float32, shape
        ``(members, batch, context_len + 1, input_dim)``.
    labels
        Labels of the exemplars in context, int64, shape ``(members, batch, context_len)``.
    target
        The query's label, int64, shape ``(members, batch)``.
    """

    examples: Tensor
    labels: Tensor
    target: Tensor
