"""How the work of a step is cut into tiles and programs, and where its activations lie."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ....settings.training import NetworkSettings

PROGRAMS = 132  # one on each multiprocessor of an H200
FEWEST_ROWS = (16, 8)  # of tensor cores' products, and of those of float32 operands
# entries of a tile that a program's registers take well, beside how many others
MANY, SMALL_TILE, TRUNK_TILE, LARGE_TILE = 1_024, 2_048, 4_096, 8_192
ALIGNMENT = 64  # floats


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiles:
    """Sizes of tiles; those that are array shapes are powers of two."""

    rows: int  # of a tile of the trunk
    group: int  # sequences these rows hold
    pairs: int  # (sequence, head) pairs of attention at a time
    chunk: int  # columns of a trunk weight taken at a time
    input_chunk: int  # entries of an exemplar taken at a time
    labels: int  # of a tile of logits
    queries: int  # sequences of a tile of logits
    logit_chunk: int  # columns of the unembedding that a tile's product takes at a time
    per_part: int  # tiles of logits that one program takes
    parts: int  # programs that share a member's labels
    update_labels: int  # whose unembedding one program updates
    update_queries: int  # sequences that it takes at a time
    update_chunk: int  # columns that it takes at a time
    label_rows: int  # of the label embedding that one program updates
    outputs: int  # of the tile of a trunk weight that one program updates
    inputs: int
    job_rows: int  # rows it multiplies at a time
    trunk_warps: int = 8  # of a program of the trunk, of the logits, of the updates
    logit_warps: int = 8
    update_warps: int = 4


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()


def choose_tiles(
    members: int, batch: int, context: int, settings: NetworkSettings, precision: str = "fp32"
) -> Tiles:
    """Tiles for batches of a shape; products of float32 operands are cut smaller."""
    width, tokens = settings.width, 2 * context + 1
    hidden = round(width * settings.mlp_ratio)
    # few rows keep the chain of dependent products short; many save reading the weights again
    rows = power_of_two(max(FEWEST_ROWS[precision == "fp32"], tokens))
    while members * math.ceil(batch / (rows // tokens)) > PROGRAMS and 2 * rows <= MANY // width:
        rows *= 2
    group = rows // tokens
    pair = power_of_two(tokens) * (width // settings.heads)
    # wider float32 products overflow registers
    chunk = width if width <= 64 and rows * width <= SMALL_TILE else min(width, 32)
    labels = max(16, min(64, TRUNK_TILE // width))
    queries = min(power_of_two(max(16, batch)), max(16, min(32, TRUNK_TILE // width)))
    tiles = math.ceil(settings.n_labels / labels)
    # two programs on each multiprocessor, but not more parts than are quickly put together
    shares = max(1, 2 * PROGRAMS // (members * math.ceil(batch / queries)))
    per_part = math.ceil(tiles / min(shares, tiles, PROGRAMS))
    return Tiles(
        rows=rows,
        group=group,
        pairs=max(1, min(power_of_two(group * settings.heads), TRUNK_TILE // pair)),
        chunk=math.gcd(chunk, hidden) if hidden else chunk,
        input_chunk=min(power_of_two(max(16, settings.input_dim)), chunk),
        labels=labels,
        queries=queries,
        logit_chunk=min(width, 64),
        per_part=per_part,
        parts=math.ceil(tiles / per_part),
        update_labels=max(16, min(32, SMALL_TILE // width)),
        # float32 operands kept over a loop would leave room for half as many programs
        update_queries=min(queries, 16) if precision == "fp32" else queries,
        update_chunk=min(width, 32) if precision == "fp32" else min(width, 64),
        label_rows=max(8, min(32, SMALL_TILE // width)),
        outputs=16,
        inputs=min(width, 64),
        job_rows=64,
    )


class StepMemory:
    """Activations of a step and their gradients: named ``views`` of one ``flat`` tensor.

    M members, B sequences of L pairs, N = B·(2L + 1) rows. ``stream`` ``(depth + 1, M, N, d)`` is
    the input of each block and the output of the last; ``normed``, ``qkv``, ``mixed`` and
    ``normaliser`` are attention's input, queries with keys and values, mixed values and log of the
    softmax' sum; ``middle``, ``mlp_normed``, ``before`` and ``after`` the MLP's; ``query`` the
    normalised query; ``largest``, ``total``, ``vector``, ``target_logit``, ``target_vector`` and
    ``loss`` belong to the unembedding; names with a ``d`` before them are gradients, ``shares``
    those of normalisations by group; ``numbers`` are what Adam needs (see `kernels.updates`).
    """

    def __init__(
        self,
        settings: NetworkSettings,
        members: int,
        batch: int,
        context: int,
        tiles: Tiles,
        device: torch.device,
    ) -> None:
        width, depth = settings.width, settings.depth
        hidden = round(width * settings.mlp_ratio)
        rows = members, batch * (2 * context + 1)
        groups = math.ceil(batch / tiles.group)
        norms = depth * (2 if hidden else 1) + settings.final_norm
        parts = members, tiles.parts, batch
        shapes: dict[str, tuple[int, ...]] = {
            "stream": (depth + 1, *rows, width),
            "normed": (depth, *rows, width),
            "qkv": (depth, *rows, 3 * width),
            "mixed": (depth, *rows, width),
            "normaliser": (depth, *rows, settings.heads),
            "query": (members, batch, width),
            "largest": parts,
            "total": parts,
            "vector": (*parts, width),
            "target_logit": (members, batch),
            "target_vector": (members, batch, width),
            "loss": (members, batch),
            "mean_loss": (members,),
            "dquery": (members, batch, width),
            "dout": (depth, *rows, width),
            "dmixed": (depth, *rows, width),
            "dqkv": (depth, *rows, 3 * width),
            "dtokens": (*rows, width),
            "shares": (members, groups, norms, 2, width),
            "numbers": (members, 3),
        }
        layers = depth if hidden else 0
        shapes.update(dict.fromkeys(("middle", "mlp_normed", "dmlp"), (layers, *rows, width)))
        shapes.update(dict.fromkeys(("before", "after", "dbefore"), (layers, *rows, hidden)))
        sizes = [ALIGNMENT * math.ceil(math.prod(shape) / ALIGNMENT) for shape in shapes.values()]
        self.flat = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        self.views: dict[str, Tensor] = {
            name: part[: math.prod(shape)].view(shape)
            for (name, shape), part in zip(
                shapes.items(), torch.split(self.flat, sizes), strict=True
            )
        }

    def place(self, name: str, layer: int | None = None) -> int:
        """Where a tensor, or its part of one layer, begins in the flat one."""
        view = self.views[name] if layer is None else self.views[name][layer]
        return int(view.storage_offset())
