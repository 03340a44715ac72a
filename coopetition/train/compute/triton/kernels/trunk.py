"""From tokens to normalised queries, and back: one program for a group of a member's sequences.

A program keeps its rows of the residual stream in registers from the embedding to the last norm;
only what attention exchanges between rows, and what the backward pass reads, goes to memory.
Gradients of weights are left to `updates.update_rest`, which forms each from the activations and
gradients stored here, so that no partial sums of weight gradients go through memory.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .attention import attend, attend_backward
from .rows import (
    by_columns,
    by_rows,
    dot,
    norm,
    norm_backward,
    perceptron,
    perceptron_backward,
    tile_by_columns,
    tile_by_rows,
)
from .updates import prepare_numbers


@triton.jit
def embed(
    tokens, sequence, valid, member, examples, labels, exemplar, exemplar_bias, label_weight,
    position, n_labels, positions_step,
    CONTEXT: constexpr, INPUTS: constexpr, CHUNK: constexpr, WIDTH: constexpr,
    EXEMPLAR_BIAS: constexpr, POSITIONS: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Tile of embedded tokens ``(R, d)``; a label that does not exist becomes NaN."""
    columns = tl.arange(0, WIDTH)
    shown, place = valid & (tokens % 2 == 0), tokens // 2
    row = (sequence * (CONTEXT + 1) + place) * INPUTS
    exemplar += member * WIDTH * INPUTS
    x = tl.zeros((tokens.shape[0], WIDTH), tl.float32)
    for start in range(0, INPUTS, CHUNK):
        inputs = start + tl.arange(0, CHUNK)
        inside = inputs < INPUTS
        part = tl.load(
            examples + row[:, None] + inputs, mask=shown[:, None] & inside[None, :], other=0.0
        )
        w = tl.load(exemplar + columns[:, None] * INPUTS + inputs, mask=inside[None, :], other=0.0)
        x += dot(part, tl.trans(w), PRECISION)
    if EXEMPLAR_BIAS:
        bias = tl.load(exemplar_bias + member * WIDTH + columns)
        x += tl.where(shown[:, None], bias[None, :], 0.0)
    labelled = valid & (tokens % 2 == 1)
    label = tl.load(labels + sequence * CONTEXT + place, mask=labelled, other=0)
    exists = (label >= 0) & (label < n_labels)
    vectors = tl.load(
        label_weight + member * n_labels * WIDTH + label[:, None] * WIDTH + columns,
        mask=(labelled & exists)[:, None],
        other=0.0,
    )
    x += tl.where((labelled & ~exists)[:, None], float("nan"), vectors)
    if POSITIONS:
        position += member * positions_step
        x += tl.load(position + tokens[:, None] * WIDTH + columns, mask=valid[:, None], other=0.0)
    return x


@triton.jit
def trunk_forward(
    examples, labels, rates, logs, steps, numbers,
    exemplar, exemplar_bias, label_weight, position,
    attention_norm, attention_norm_bias, qkv_weight, qkv_bias, projection, projection_bias,
    mlp_norm, mlp_norm_bias, inner, inner_bias, outer, outer_bias, final_norm, final_norm_bias,
    cos, sin, stream, normed, qkv, mixed, normaliser, middle, mlp_normed, before, after, query,
    n_labels, positions_step, block_step, scale,
    BATCH: constexpr, CONTEXT: constexpr, INPUTS: constexpr, WIDTH: constexpr,
    HEADS: constexpr, DEPTH: constexpr, HIDDEN: constexpr, EXEMPLAR_BIAS: constexpr,
    POSITIONS: constexpr, ROTARY: constexpr, BIAS: constexpr, FINAL_NORM: constexpr,
    ROWS: constexpr, GROUP: constexpr, PAIRS: constexpr, TILE: constexpr,
    CHUNK: constexpr, INPUT_CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Fill ``query`` ``(M, B, d)`` and what `trunk_backward` reads; prepare Adam's numbers.

    Weights of blocks are those of the first; the next block's lie ``block_step`` further on.
    """
    group, member, members = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(1)
    if group == 0:
        prepare_numbers(rates, logs, steps, numbers, member)
    TOKENS: constexpr = 2 * CONTEXT + 1
    local, columns = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    sequence, tokens = group * GROUP + local // TOKENS, local % TOKENS
    valid = (local < GROUP * TOKENS) & (sequence < BATCH)
    rows = group * (GROUP * TOKENS) + local
    tile, mask = rows[:, None] * WIDTH + columns, valid[:, None]
    x = embed(
        tokens, sequence, valid, member, examples + member * BATCH * (CONTEXT + 1) * INPUTS,
        labels + member * BATCH * CONTEXT, exemplar, exemplar_bias, label_weight, position,
        n_labels, positions_step, CONTEXT, INPUTS, INPUT_CHUNK, WIDTH, EXEMPLAR_BIAS, POSITIONS,
        PRECISION,
    )  # fmt: skip
    for layer in range(DEPTH):
        block = layer * block_step
        here = (layer * members + member) * (BATCH * TOKENS)
        tl.store(stream + here * WIDTH + tile, x, mask=mask)
        wide = member * WIDTH + block
        n = norm(x, attention_norm + wide, attention_norm_bias + wide)
        tl.store(normed + here * WIDTH + tile, n, mask=mask)
        if CHUNK < WIDTH:
            tl.debug_barrier()
        weight = qkv_weight + 3 * WIDTH * WIDTH * member + block
        for start in range(0, 3 * WIDTH, CHUNK):
            outputs = start + tl.arange(0, CHUNK)
            part = tile_by_rows(
                n, rows, valid, normed + here * WIDTH, outputs, weight, CHUNK, PRECISION
            )
            if BIAS:
                part += tl.load(qkv_bias + 3 * WIDTH * member + block + outputs)[None, :]
            place = here * (3 * WIDTH) + rows[:, None] * (3 * WIDTH) + outputs
            tl.store(qkv + place, part, mask=mask)
        tl.debug_barrier()  # attention reads what other threads have stored, as the product after
        attend(
            qkv + here * (3 * WIDTH), mixed + here * WIDTH, normaliser + here * HEADS, cos, sin,
            group * GROUP, BATCH, scale, GROUP, TOKENS, PAIRS, TILE, WIDTH, HEADS, ROTARY,
        )  # fmt: skip
        tl.debug_barrier()
        weight = projection + WIDTH * WIDTH * member + block
        x += by_rows(
            rows, valid, mixed + here * WIDTH, columns, columns >= 0, weight, WIDTH, CHUNK,
            PRECISION,
        )  # fmt: skip
        if BIAS:
            x += tl.load(projection_bias + wide + columns)[None, :]
        if HIDDEN:
            tl.store(middle + here * WIDTH + tile, x, mask=mask)
            n = norm(x, mlp_norm + wide, mlp_norm_bias + wide)
            tl.store(mlp_normed + here * WIDTH + tile, n, mask=mask)
            if CHUNK < WIDTH:
                tl.debug_barrier()
            x += perceptron(
                n, mlp_normed + here * WIDTH, rows, valid, inner + HIDDEN * WIDTH * member + block,
                inner_bias + HIDDEN * member + block, outer + HIDDEN * WIDTH * member + block,
                outer_bias + wide, before + here * HIDDEN, after + here * HIDDEN,
                HIDDEN, CHUNK, PRECISION,
            )  # fmt: skip
    last = (DEPTH * members + member) * (BATCH * TOKENS)
    tl.store(stream + last * WIDTH + tile, x, mask=mask)
    if FINAL_NORM:
        x = norm(x, final_norm + member * WIDTH, final_norm_bias + member * WIDTH)
    is_query = valid & (tokens == TOKENS - 1)
    place = (member * BATCH + sequence)[:, None] * WIDTH + columns
    tl.store(query + place, x, mask=is_query[:, None])


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
    logit = tl.load(target_logit + at, mask=there, other=0.0)
    tl.store(loss + at, a - logit + tl.log(s), mask=there)
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
    is_query = valid & (local % TOKENS == TOKENS - 1)
    place = (member * BATCH + sequence)[:, None] * WIDTH + columns
    dx = tl.load(dquery + place, mask=is_query[:, None], other=0.0)
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
