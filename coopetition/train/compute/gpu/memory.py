"""How much memory runs trained as one hold on a GPU, and the error where there is less.

Counts weights, gradients, moments, data, batches and evaluation sequences. Temporary tensors of a
step or an evaluation come on top; `memory_explained` reports when they do not fit.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch

from ....errors import TrainingError
from ....settings.training import NetworkSettings, TrainingSettings
from ...network.encoders import CHANNELS
from ...network.network import Network
from ...sequences.batches import block_length

PASS = 2**29  # bytes of the largest tensors of one pass of an evaluation on a GPU
GB = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """Bytes that runs trained as one hold from start to end: ``shared``, and each ``member``'s."""

    shared: int
    member: int

    def total(self, members: int) -> int:
        """Of so many runs."""
        return self.shared + members * self.member

    def largest(self, available: int) -> int:
        """Most runs that fit into ``available`` bytes; 0 if not even one does."""
        return max(0, (available - self.shared) // self.member)


def memory_need(
    members: Sequence[TrainingSettings],
    network: NetworkSettings,
    *,
    data_bytes: Sequence[int],
    stretch: int,
) -> MemoryNeed:
    """What an ensemble holds, given each data set's bytes and the steps in a CUDA graph."""
    settings = members[0]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Network(network, 1).parameters())
    tensors = 2 if settings.optimisation.optimizer == "sgd" else 4  # weights, gradients, moments
    batch, context = settings.optimisation.batch_size, settings.sequences.context_len
    indices = 8 * (2 * (context + 1) + context + 1)  # classes, exemplars, labels, target
    shown = 4 * network.input_dim * (context + 1)
    noisy = any(member.sequences.input_noise > 0 for member in members)
    block = block_length(settings, network.input_dim, "cuda") * batch * (indices + noisy * shown)
    in_graph = stretch * batch * (shown + 8 * (context + 1))
    together = len(data_bytes) == 1
    return MemoryNeed(
        shared=data_bytes[0] if together else 0,
        member=4 * parameters * tensors
        + block
        + in_graph
        + (0 if together else max(data_bytes))
        + evaluation_bytes(settings),
    )


def evaluation_bytes(settings: TrainingSettings) -> int:
    """Bytes of one member's evaluation sequences."""
    lengths = [settings.sequences.context_len] * len(settings.evaluation.names)
    lengths += [e.context_len or settings.sequences.context_len for e in settings.evaluation.extra]
    return settings.evaluation.n_sequences * sum(8 * (3 * length + 3) for length in lengths)


def row_bytes(network: NetworkSettings) -> int:
    """Bytes of logits, of a layer's widest tensor and an encoder's, for the longest sequence."""
    context = network.max_context_len
    tokens = 2 * context + 1
    layer = tokens * round(network.width * max(3, network.mlp_ratio))
    image = CHANNELS[0] * network.input_dim * (context + 1) if network.encoder == "resnet" else 0
    return 4 * (network.n_labels + max(layer, network.heads * tokens**2) + image)


def rows_at_once(
    settings: TrainingSettings, network: NetworkSettings, members: int, device: str
) -> int:
    """Evaluation sequences of each member in one pass, so that what a GPU holds stays bounded."""
    rows = settings.evaluation.batch_size
    return rows if device == "cpu" else max(1, min(rows, PASS // (row_bytes(network) * members)))


def require_memory(need: MemoryNeed, members: int, device: torch.device) -> None:
    """Refuse an ensemble that does not fit a GPU's free memory."""
    free = free_memory(device)
    if free is not None and need.total(members) > free:
        raise TrainingError(too_large(need, members, need.largest(free), device))


@contextlib.contextmanager
def memory_explained(need: MemoryNeed, members: int, device: torch.device) -> Iterator[None]:
    """Turn a GPU's running out of memory into a `TrainingError` that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(too_large(need, members, members // 2, device)) from error


def too_large(need: MemoryNeed, members: int, fewer: int, device: torch.device) -> str:
    """The message for an ensemble that does not fit, of which ``fewer`` runs may."""
    free = free_memory(device)
    there = "has not that much" if free is None else f"has {free / GB:.2f} GB free"
    runs = "1 run needs" if members == 1 else f"{members} runs trained as one need"
    remedy = (
        f"train at most {fewer} as one (--ensemble {fewer} for a sweep, or fewer --seeds)"
        if fewer
        else "lower optimisation.batch_size or evaluation.batch_size, or compute on a CPU"
    )
    return (
        f"{runs} {need.total(members) / GB:.2f} GB of memory, and more while a step or an "
        f"evaluation is computed; {device} {there}: {remedy}"
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def peak_memory(device: torch.device) -> int | None:
    """Most bytes that were reserved on a GPU since `forget_peak`; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def forget_peak(device: torch.device) -> None:
    """Measure the peak from now on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # starts CUDA: before that there are no statistics
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
