"""How much memory an ensemble needs on a GPU, and what to say where there is less.

Counted in bytes. What a member keeps is counted exactly; what passes while a step or an evaluation
is computed is a few tables of logits, by measured factors.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch

from ....errors import TrainingError
from ....settings.training import NetworkSettings, TrainingSettings
from ...network.network import Network
from ...sequences.batches import block_length
from ..triton.tiles import choose_tiles
from ..triton.workspace import StepMemory

WORKSPACES = 2**26  # of the BLAS, on two streams
EVALUATED = 2**29  # logits and residual streams of one pass of an evaluation on a GPU
EVALUATION_COPIES = 4  # of these, while metrics are computed
# of a batch's logits and label tables, in a plain step's backward pass
PLAIN_LOGITS, PLAIN_TABLES = 2, 1
ENCODED, ENCODED_FORWARD = 265, 66  # floats a pixel of an image in a ResNet, with and without it
# what a layer keeps for it: rows of the residual stream's width, of an MLP's, attention patterns
LAYER_ROWS, HIDDEN_ROWS, PATTERNS = 9, 2.5, 4
GB = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryNeed:
    """Bytes that runs trained as one need.

    Parameters
    ----------
    shared
        Whatever their number: exemplars, workspaces.
    lasting
        Of each member from start to end.
    passing
        Of each member while a step is computed.
    evaluated
        Of each member's logits and residual streams, were it evaluated in one pass.
    """

    shared: int
    lasting: int
    passing: int
    evaluated: int

    def total(self, members: int) -> int:
        """Of so many runs, at the worst moment."""
        at_once = min(members * self.evaluated, EVALUATED)
        worst = max(members * self.passing, EVALUATION_COPIES * at_once)
        return self.shared + members * self.lasting + worst

    def largest(self, available: int) -> int:
        """Most runs that fit into ``available`` bytes; 0 if not even one does."""
        low, high = 0, 1
        while self.total(high) <= available:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.total(middle) <= available else (low, middle)
        return low


def memory_need(
    members: Sequence[TrainingSettings],
    network: NetworkSettings,
    *,
    data_bytes: Sequence[int],
    kernels: str,
    stretch: int,
) -> MemoryNeed:
    """What an ensemble needs on a GPU.

    Parameters
    ----------
    members
        Settings of each.
    network
        The network, with ``n_labels`` and ``input_dim`` given.
    data_bytes
        Bytes of each different data set.
    kernels
        ``fused`` or ``plain``; empty where that is not known yet, for the least of both.
    stretch
        Steps in a CUDA graph.
    """
    settings = members[0]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Network(network, 1).parameters())
    moments = 0 if settings.optimisation.optimizer == "sgd" else 2
    batch, context = settings.optimisation.batch_size, settings.sequences.context_len
    indices = 8 * (2 * (context + 1) + context + 1)  # classes, exemplars, labels, target
    shown = 4 * network.input_dim * (context + 1)
    noisy = any(member.sequences.input_noise > 0 for member in members)
    block = block_length(settings, network.input_dim, "cuda") * batch * (indices + noisy * shown)
    static = stretch * batch * (shown + 8 * (context + 1))
    together = len(data_bytes) == 1
    own_data = 0 if together else max(data_bytes)
    passing = 0
    if kernels == "fused":
        tiles = choose_tiles(len(members), batch, context, network, settings.run.matmul)
        work = StepMemory(network, len(members), batch, context, tiles, torch.device("meta"))
        passing = work.flat.nbytes // len(members)
    elif kernels == "plain":
        kept = PLAIN_LOGITS * 4 * batch * network.n_labels
        kept += network.depth * layer_bytes(network, context) * batch
        kept += batch * image_bytes(network, context, ENCODED)
        table = PLAIN_TABLES * 4 * network.n_labels * network.width
        passing = kept // settings.optimisation.micro_batches + table
    return MemoryNeed(
        shared=WORKSPACES + (data_bytes[0] if together else 0),
        lasting=4 * parameters * (1 + moments + (kernels == "plain"))  # fused: without gradients
        + (4 * network.n_labels if kernels == "fused" else 0)  # since when each row waits
        + block
        + static
        + own_data
        + evaluation_bytes(settings),
        passing=passing,
        evaluated=row_bytes(network) * settings.evaluation.batch_size,
    )


def layer_bytes(network: NetworkSettings, context: int) -> int:
    """What the backward pass of one layer needs of one sequence, computed by PyTorch."""
    tokens = 2 * context + 1
    rows = tokens * network.width * (LAYER_ROWS + HIDDEN_ROWS * network.mlp_ratio)
    return int(4 * (rows + PATTERNS * network.heads * tokens**2))


def image_bytes(network: NetworkSettings, context: int, floats: int) -> int:
    """What a ResNet needs for the images of one sequence; 0 without one."""
    return 4 * floats * network.input_dim * (context + 1) if network.encoder == "resnet" else 0


def row_bytes(network: NetworkSettings) -> int:
    """Logits, residual stream and attention of one sequence, the longest, while it is evaluated."""
    context = network.max_context_len
    tokens = 2 * context + 1
    stream = tokens * network.width * (3 + network.mlp_ratio) + network.heads * tokens**2
    images = image_bytes(network, context, ENCODED_FORWARD)
    return int(4 * (network.n_labels + stream)) + images


def evaluation_bytes(settings: TrainingSettings) -> int:
    """Bytes of one member's evaluation sequences."""
    lengths = [settings.sequences.context_len] * len(settings.evaluation.names)
    lengths += [e.context_len or settings.sequences.context_len for e in settings.evaluation.extra]
    return settings.evaluation.n_sequences * sum(8 * (3 * length + 3) for length in lengths)


def rows_at_once(
    settings: TrainingSettings, network: NetworkSettings, members: int, device: str
) -> int:
    """Evaluation sequences of each member in one pass, so that what a GPU holds stays bounded."""
    wanted = settings.evaluation.batch_size
    if device == "cpu":
        return wanted
    return max(1, min(wanted, EVALUATED // (row_bytes(network) * members)))


def require_memory(need: MemoryNeed, members: int, device: torch.device) -> None:
    """Refuse an ensemble for which a GPU has not the memory, before anything is begun.

    Raises
    ------
    TrainingError
        Naming what is needed, what is there, and the largest ensemble that fits.
    """
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if need.total(members) > free:
        raise TrainingError(too_large(need, members, free, str(device)))


@contextlib.contextmanager
def memory_explained(need: MemoryNeed, members: int, device: torch.device) -> Iterator[None]:
    """Turn a GPU's running out of memory into an error that says what would fit.

    Raises
    ------
    TrainingError
        In place of `torch.OutOfMemoryError`.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        free = need.total(members)  # where nothing is known, what was thought to suffice
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        # it did not fit, whatever the estimate says
        free = min(free, need.total(members) - 1)
        raise TrainingError(too_large(need, members, free, str(device))) from error


def too_large(need: MemoryNeed, members: int, available: int, device: str) -> str:
    """What to say of an ensemble that does not fit."""
    fits = need.largest(available)
    runs = "1 run needs" if members == 1 else f"{members} runs trained as one need"
    remedy = (
        f"train at most {fits} as one (--ensemble {fits} for a sweep, or fewer --seeds)"
        if fits
        else "lower optimisation.batch_size or evaluation.batch_size, or compute on a CPU"
    )
    return (
        f"{runs} about {need.total(members) / GB:.2f} GB of memory, {device} has "
        f"{available / GB:.2f} GB free: {remedy}"
    )


def peak_memory(device: torch.device) -> int | None:
    """Most bytes that were taken on a GPU since `forget_peak`; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def forget_peak(device: torch.device) -> None:
    """Measure the peak from now on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # starts CUDA: before that there are no statistics
        torch.cuda.reset_peak_memory_stats(device)
