"""What a device can do at best (copies, matrix products, nodes of a graph), and a step's needs."""

from __future__ import annotations

import dataclasses

import torch
from gpu_clock import Clock, captured
from train_step import CONTEXT, DIM, WIDTH, arithmetic

from coopetition.train.compute.precision import products

NODES = 500  # of the graph whose nodes are timed
STEP_BYTES = 24  # Adam reads and writes a parameter and its two moments, four bytes each
TABLES = 2  # of labels by width: the label embedding and the unembedding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
    """What was measured on the device.

    Parameters
    ----------
    far, near
        Bytes/s read and written by copies of a large buffer, and of one as large as the tables.
    product, tf32, bf16
        Operations/s of a large matrix product in each precision; 0 where there is none.
    node
        Seconds between two nodes of a graph that do nothing to speak of, one after the other.
    launch
        Seconds between two such operations launched by PyTorch.
    cache
        Bytes of the device's last cache; 0 where that is not known.
    """

    far: float
    near: float
    product: float
    tf32: float
    bf16: float
    node: float
    launch: float
    cache: int


def copying(clock: Clock, size: int) -> float:
    """Bytes/s read and written by a copy of ``size`` bytes."""
    source = torch.zeros(size // 4, device=clock.device)
    target = torch.empty_like(source)
    replay = captured(lambda: [target.copy_(source) for _ in range(10)], clock.device)
    return 2 * size * 10 / (clock.microseconds(replay, 1).median / 1e6)


def multiplying(clock: Clock, edge: int, kind: str) -> float:
    """Operations/s of a square matrix product on random numbers."""
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    a, b = (torch.randn(edge, edge, device=clock.device).to(dtype) for _ in range(2))
    with products("tf32" if kind == "tf32" else "fp32", clock.device):
        spent = clock.microseconds(lambda: torch.mm(a, b), 1, calls=5).median
    return 2 * edge**3 / (spent / 1e6)


def measure_rates(clock: Clock, classes: int, quick: bool) -> Rates:
    """All of them; ``quick`` takes small buffers and matrices."""
    on_gpu = clock.device.type == "cuda"
    edge = 256 if quick else 8192
    one = torch.zeros(1, device=clock.device)

    def many() -> None:
        for _ in range(NODES):
            one.add_(1)

    kinds = ("tf32", "bf16") if on_gpu else ()
    found = {kind: multiplying(clock, edge, kind) for kind in kinds}
    return Rates(
        far=copying(clock, 2**24 if quick else 2**31),
        near=copying(clock, 4 * TABLES * classes * WIDTH),
        product=multiplying(clock, edge, "fp32"),
        tf32=found.get("tf32", 0.0),
        bf16=found.get("bf16", 0.0),
        node=clock.microseconds(captured(many, clock.device), NODES).median / 1e6,
        launch=clock.microseconds(many, NODES).median / 1e6,
        cache=torch.cuda.get_device_properties(clock.device).L2_cache_size if on_gpu else 0,
    )


def floor(
    rates: Rates, classes: int, batch: int, members: int, launches: int, lazy: bool = False
) -> dict[str, float]:
    """The least microseconds that a step of M members can take, by what it must do.

    Parameters
    ----------
    rates
        What the device can do.
    classes, batch, members
        Of the step.
    launches
        Kernels that wait for each other in it.
    lazy
        Whether only rows of the label embedding that are shown are updated.
    """
    table = STEP_BYTES * classes * WIDTH * members
    rows = 2 * STEP_BYTES * batch * CONTEXT * WIDTH * members  # made up for, then updated
    state = table + (rows if lazy else table)
    # the unembedding is read once more on each side of the loss, the batch once
    reads = 4 * members * (2 * classes * WIDTH + batch * (CONTEXT + 1) * DIM)
    stays = TABLES * table / 2 < rates.cache  # from step to step
    moved = rates.near if stays else rates.far
    parts = {
        "memory": 1e6 * (state + reads) / moved,
        "arithmetic": 1e6 * members * arithmetic(classes, batch) / rates.product,
        "launches": 1e6 * launches * rates.node,
    }
    # memory and arithmetic can overlap, the chain of launches comes on top
    parts["floor"] = max(parts["memory"], parts["arithmetic"]) + parts["launches"]
    parts["megabytes"] = (state + reads) / 1e6
    parts["megaflop"] = members * arithmetic(classes, batch) / 1e6
    return parts
