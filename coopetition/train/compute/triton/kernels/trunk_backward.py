"""From the unembedding's parts to the gradients of activations: one program for a group again.

Gradients of weights are left to `rest.py`, which forms each from the activations and gradients
stored here, so that no partial sums of weight gradients go through memory.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .attention import attend_backward
from .norms import norm_backward
from .perceptron import perceptron_backward
from .products import by_columns, tile_by_columns


@triton.jit
def query_gradient(
    first, member, largest, total, vector, target_logit, target_vector, loss, dquery,
    share,
    BATCH: constexpr, PARTS: constexpr, GROUP: constexpr, GROUP_TILE: constexpr,
    WIDTH: constexpr, AT_ONCE: constexpr,
):  # fmt: skip
    """Loss ``(M, B)`` and gradient of the normalised query ``(M, B, d)`` of a group's sequences."""
    local, columns = tl.arange(0, GROUP_TILE), tl.arange(0, WIDTH)
    b = first + local
    there = (local < GROUP) & (b < BATCH)
    a = tl.full((GROUP_TILE,), float("-inf"), tl.float32)
    s = tl.zeros((GROUP_TILE,), tl.float32)
    mean = tl.zeros((GROUP_TILE, WIDTH), tl.float32)
    for start in range(0, PARTS, AT_ONCE):
        part = start + tl.arange(0, AT_ONCE)
        at = (member * PARTS + part)[:, None] * BATCH + b[None, :]
        mask = (part < PARTS)[:, None] & there[None, :]
        a_part = tl.load(largest + at, mask=mask, other=float("-inf"))
        a_part = tl.where(there[None, :], a_part, 0.0)
        larger = tl.maximum(a, tl.max(a_part, axis=0))
        weight, before = tl.exp(a_part - larger[None, :]), tl.exp(a - larger)
        s_part = tl.load(total + at, mask=mask, other=0.0)
        vectors = tl.load(
            vector + at[:, :, None] * WIDTH + columns, mask=mask[:, :, None], other=0.0
        )
        s = s * before + tl.sum(weight * s_part, axis=0)
        mean = mean * before[:, None] + tl.sum(weight[:, :, None] * vectors, axis=0)
        a = larger
    s = tl.where(there, s, 1.0)
    at = member * BATCH + b
    wanted = tl.load(target_logit + at, mask=there, other=0.0)
    tl.store(loss + at, a - wanted + tl.log(s), mask=there)
    place = at[:, None] * WIDTH + columns
    row = tl.load(target_vector + place, mask=there[:, None], other=0.0)
    tl.store(dquery + place, (mean / s[:, None] - row) * share, mask=there[:, None])


@triton.jit
def trunk_backward(
    largest, total, vector, target_logit, target_vector, loss, dquery,
    attention_norm, qkv_weight, projection, mlp_norm, inner, outer, final_norm, cos, sin,
    stream, qkv, mixed, normaliser, middle, before,
    dout, dmixed, dqkv, dmlp, dbefore, dtokens, shares,
    share, block_step, scale,
    BATCH: constexpr, PARTS: constexpr, TOKENS: constexpr, WIDTH: constexpr, HEADS: constexpr,
    DEPTH: constexpr,
    HIDDEN: constexpr, ROTARY: constexpr, FINAL_NORM: constexpr, ROWS: constexpr,
    GROUP: constexpr, GROUP_TILE: constexpr, PAIRS: constexpr, TILE: constexpr,
    CHUNK: constexpr, AT_ONCE: constexpr, NORMS: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Fill the gradients of what the weights of the trunk multiply, ``loss`` and ``dtokens``.

    ``dout`` and ``dmlp`` ``(depth, M, N, d)`` are those of attention's and the MLP's output,
    ``dtokens`` ``(M, N, d)`` that of the embedded tokens. ``shares`` ``(M, groups, NORMS, 2, d)``
    gets this group's gradients of the normalisations, in the order of the forward pass.
    """
    group, member, members = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(1)
    local, columns = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    sequence = group * GROUP + local // TOKENS
    valid = (local < GROUP * TOKENS) & (sequence < BATCH)
    rows = group * (GROUP * TOKENS) + local
    tile, mask = rows[:, None] * WIDTH + columns, valid[:, None]
    query_gradient(
        group * GROUP, member, largest, total, vector, target_logit, target_vector, loss,
        dquery, share, BATCH, PARTS, GROUP, GROUP_TILE, WIDTH, AT_ONCE,
    )  # fmt: skip
    tl.debug_barrier()  # what follows reads what other threads have stored
    asked = valid & (local % TOKENS == TOKENS - 1)
    place = (member * BATCH + sequence)[:, None] * WIDTH + columns
    dx = tl.load(dquery + place, mask=asked[:, None], other=0.0)
    shares += (member * tl.num_programs(0) + group) * (NORMS * 2 * WIDTH)
    if FINAL_NORM:
        last = (DEPTH * members + member) * (BATCH * TOKENS)
        x = tl.load(stream + last * WIDTH + tile, mask=mask, other=0.0)
        mine = shares + (NORMS - 1) * 2 * WIDTH
        dx = norm_backward(dx, x, final_norm + member * WIDTH, mine, mine + WIDTH)
    for reverse in range(DEPTH):
        layer = DEPTH - 1 - reverse
        block = layer * block_step
        here = (layer * members + member) * (BATCH * TOKENS)
        if HIDDEN:
            tl.store(dmlp + here * WIDTH + tile, dx, mask=mask)
            if CHUNK < WIDTH:
                tl.debug_barrier()
            dn = perceptron_backward(
                dx, dmlp + here * WIDTH, rows, valid, inner + HIDDEN * WIDTH * member + block,
                outer + HIDDEN * WIDTH * member + block, before + here * HIDDEN,
                dbefore + here * HIDDEN, HIDDEN, CHUNK, PRECISION,
            )  # fmt: skip
            x = tl.load(middle + here * WIDTH + tile, mask=mask, other=0.0)
            mine = shares + (2 * layer + 1) * 2 * WIDTH
            dx += norm_backward(dn, x, mlp_norm + member * WIDTH + block, mine, mine + WIDTH)
        tl.store(dout + here * WIDTH + tile, dx, mask=mask)
        if CHUNK < WIDTH:
            tl.debug_barrier()
        weight = projection + WIDTH * WIDTH * member + block
        for start in range(0, WIDTH, CHUNK):
            inputs = start + tl.arange(0, CHUNK)
            part = tile_by_columns(
                dx, rows, valid, dout + here * WIDTH, inputs, weight, WIDTH, CHUNK, PRECISION
            )
            at = here * WIDTH + rows[:, None] * WIDTH + inputs
            tl.store(dmixed + at, part, mask=mask)
        tl.debug_barrier()
        attend_backward(
            qkv + here * (3 * WIDTH), mixed + here * WIDTH, normaliser + here * HEADS,
            dmixed + here * WIDTH, dqkv + here * (3 * WIDTH), cos, sin, group * GROUP, BATCH, scale,
            GROUP, TOKENS, PAIRS, TILE, WIDTH, HEADS, ROTARY,
        )  # fmt: skip
        tl.debug_barrier()
        weight = qkv_weight + 3 * WIDTH * WIDTH * member + block
        dn = by_columns(
            rows, valid, dqkv + here * (3 * WIDTH), columns, weight, 3 * WIDTH, WIDTH, CHUNK,
            PRECISION,
        )  # fmt: skip
        x = tl.load(stream + here * WIDTH + tile, mask=mask, other=0.0)
        norms: tl.constexpr = 2 if HIDDEN else 1
        mine = shares + norms * layer * 2 * WIDTH
        dx += norm_backward(dn, x, attention_norm + member * WIDTH + block, mine, mine + WIDTH)
    tl.store(dtokens + member * (BATCH * TOKENS) * WIDTH + tile, dx, mask=mask)
