"""How the work of a step is cut into tiles and programs."""

from __future__ import annotations

import dataclasses
import math

from ....settings.training import NetworkSettings

PROGRAMS = 132  # one on each multiprocessor of an H200
FEWEST_ROWS = (16, 8)  # of tensor cores' products, and of those of float32 operands
# entries of a tile that a program's registers take well, beside how many others
MANY, SMALL_TILE, TRUNK_TILE, LARGE_TILE = 1_024, 2_048, 4_096, 8_192


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiles:
    """Sizes of tiles; those that are array shapes are powers of two.

    Parameters
    ----------
    rows, group, pairs
        Trunk: rows of a tile, the sequences they hold, and (sequence, head) pairs at a time.
    chunk, input_chunk
        Trunk: columns of a weight, and entries of an exemplar, taken at a time.
    labels, queries, logit_chunk
        Labels and sequences of a tile of logits, and columns of the unembedding that its product
        takes at a time.
    per_part, parts
        Such tiles that one program takes, and programs that share a member's labels.
    update_labels, update_queries, update_chunk
        Labels whose unembedding one program updates, and sequences and columns that it takes at
        a time.
    label_rows
        Rows of the label embedding that one program updates.
    outputs, inputs, job_rows
        Tile of a trunk weight that one program updates, and rows it multiplies at a time.
    trunk_warps, logit_warps, update_warps
        Warps of a program of the trunk, of the logits, and of the updates.
    """

    rows: int
    group: int
    pairs: int
    chunk: int
    input_chunk: int
    labels: int
    queries: int
    logit_chunk: int
    per_part: int
    parts: int
    update_labels: int
    update_queries: int
    update_chunk: int
    label_rows: int
    outputs: int
    inputs: int
    job_rows: int
    trunk_warps: int = 8
    logit_warps: int = 8
    update_warps: int = 4


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()


def choose_tiles(
    members: int, batch: int, context: int, settings: NetworkSettings, precision: str = "fp32"
) -> Tiles:
    """Tiles for batches of a shape.

    Parameters
    ----------
    members, batch, context
        M, B and L.
    settings
        The network, with its ``n_labels`` and ``input_dim``.
    precision
        Of matrix products; those of float32 operands are cut smaller.
    """
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
