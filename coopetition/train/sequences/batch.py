"""One batch of sequences, as the network reads it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Sequences of every member of an ensemble; a single run is an ensemble of one."""

    # exemplars in context and the query last, float32 (members, batch, context_len + 1, input_dim)
    examples: Tensor
    labels: Tensor  # of the exemplars in context, int64 (members, batch, context_len)
    target: Tensor  # the query's label, int64 (members, batch)
