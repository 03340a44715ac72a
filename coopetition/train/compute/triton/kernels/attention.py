"""Causal attention of a group of sequences, head by head, and its gradient.

The work is cut into (sequence, head) pairs, of which P are computed at once, as tiles
``(P, T, d/H)`` over the query's tokens; keys and values come one token after the other. Queries,
keys and values lie in memory as rows ``(N, 3d)``.
"""

import triton
import triton.language as tl
from triton.language import constexpr


@triton.jit
def turn(x, cos, sin):
    """Turn pairs of neighbouring entries of ``x`` ``(P, T, d/H)`` by rotary positions."""
    half: tl.constexpr = x.shape[2] // 2
    even, odd = tl.split(tl.reshape(x, (x.shape[0], x.shape[1], half, 2)))
    turned = tl.join(even * cos - odd * sin, odd * cos + even * sin)
    return tl.reshape(turned, (x.shape[0], x.shape[1], x.shape[2]))


@triton.jit
def angles(table, tokens, valid, SIZE: constexpr):
    """Rows of a table of cosines or sines ``(·, SIZE / 2)`` as ``(1, T, SIZE / 2)``."""
    entries = tl.arange(0, SIZE // 2)
    places = tokens[:, None] * (SIZE // 2) + entries
    return tl.load(table + places, mask=valid[:, None], other=0.0)[None, :, :]


@triton.jit
def one_token(table, j, SIZE: constexpr):
    """Row j of a table of cosines or sines as ``(1, 1, SIZE / 2)``."""
    return tl.load(table + j * (SIZE // 2) + tl.arange(0, SIZE // 2))[None, None, :]


@triton.jit
def attend(
    qkv, mixed, normaliser, cos, sin, first, sequences, scale,
    GROUP: constexpr, TOKENS: constexpr, PAIRS: constexpr, TILE: constexpr,
    WIDTH: constexpr, HEADS: constexpr, ROTARY: constexpr,
):  # fmt: skip
    """Fill ``mixed`` ``(N, d)``, ``normaliser`` ``(N, H)`` of GROUP sequences from ``first`` on."""
    SIZE: constexpr = WIDTH // HEADS
    i, e = tl.arange(0, TILE), tl.arange(0, SIZE)
    for start in range(0, GROUP * HEADS, PAIRS):
        pair = start + tl.arange(0, PAIRS)
        sequence, head = first + pair // HEADS, pair % HEADS
        there = (pair < GROUP * HEADS) & (sequence < sequences)
        row = sequence * TOKENS
        mine = there[:, None] & (i < TOKENS)[None, :]
        at = (row[:, None] + i)[:, :, None] * WIDTH + (head * SIZE)[:, None, None] + e
        at_qkv = at + (row[:, None] + i)[:, :, None] * (2 * WIDTH)
        q = tl.load(qkv + at_qkv, mask=mine[:, :, None], other=0.0)
        if ROTARY:
            q = turn(q, angles(cos, i, i < TOKENS, SIZE), angles(sin, i, i < TOKENS, SIZE))
        q = q * scale
        largest = tl.full((PAIRS, TILE), float("-inf"), tl.float32)
        total = tl.zeros((PAIRS, TILE), tl.float32)
        sum_ = tl.zeros((PAIRS, TILE, SIZE), tl.float32)
        for j in range(TOKENS):
            at_key = ((row + j) * (3 * WIDTH) + WIDTH + head * SIZE)[:, None, None] + e[
                None, None, :
            ]
            k = tl.load(qkv + at_key, mask=there[:, None, None], other=0.0)
            v = tl.load(qkv + at_key + WIDTH, mask=there[:, None, None], other=0.0)
            if ROTARY:
                k = turn(k, one_token(cos, j, SIZE), one_token(sin, j, SIZE))
            score = tl.where(j <= i[None, :], tl.sum(q * k, axis=2), float("-inf"))
            larger = tl.maximum(largest, score)
            before, p = tl.exp(largest - larger), tl.exp(score - larger)
            total = total * before + p
            sum_ = sum_ * before[:, :, None] + p[:, :, None] * v
            largest = larger
        tl.store(mixed + at, sum_ / total[:, :, None], mask=mine[:, :, None])
        at_log = (row[:, None] + i) * HEADS + head[:, None]
        tl.store(normaliser + at_log, largest + tl.log(total), mask=mine)


@triton.jit
def attend_backward(
    qkv, mixed, normaliser, dmixed, dqkv, cos, sin, first, sequences, scale,
    GROUP: constexpr, TOKENS: constexpr, PAIRS: constexpr, TILE: constexpr,
    WIDTH: constexpr, HEADS: constexpr, ROTARY: constexpr,
):  # fmt: skip
    """Fill ``dqkv`` ``(N, 3d)`` from ``dmixed`` ``(N, d)`` and what `attend` left."""
    SIZE: constexpr = WIDTH // HEADS
    i, e = tl.arange(0, TILE), tl.arange(0, SIZE)
    for start in range(0, GROUP * HEADS, PAIRS):
        pair = start + tl.arange(0, PAIRS)
        sequence, head = first + pair // HEADS, pair % HEADS
        there = (pair < GROUP * HEADS) & (sequence < sequences)
        row = sequence * TOKENS
        mine = there[:, None] & (i < TOKENS)[None, :]
        at = (row[:, None] + i)[:, :, None] * WIDTH + (head * SIZE)[:, None, None] + e
        at_qkv = at + (row[:, None] + i)[:, :, None] * (2 * WIDTH)
        q = tl.load(qkv + at_qkv, mask=mine[:, :, None], other=0.0)
        if ROTARY:
            cosines = angles(cos, i, i < TOKENS, SIZE)
            sines = angles(sin, i, i < TOKENS, SIZE)
            q = turn(q, cosines, sines)
        q = q * scale
        log = tl.load(normaliser + (row[:, None] + i) * HEADS + head[:, None], mask=mine, other=0.0)
        dout = tl.load(dmixed + at, mask=mine[:, :, None], other=0.0)
        out = tl.load(mixed + at, mask=mine[:, :, None], other=0.0)
        along = tl.sum(dout * out, axis=2)
        dq = tl.zeros((PAIRS, TILE, SIZE), tl.float32)
        for j in range(TOKENS):
            at_key = ((row + j) * (3 * WIDTH) + WIDTH + head * SIZE)[:, None, None] + e[
                None, None, :
            ]
            k = tl.load(qkv + at_key, mask=there[:, None, None], other=0.0)
            v = tl.load(qkv + at_key + WIDTH, mask=there[:, None, None], other=0.0)
            if ROTARY:
                k = turn(k, one_token(cos, j, SIZE), one_token(sin, j, SIZE))
            p = tl.where((j <= i[None, :]) & mine, tl.exp(tl.sum(q * k, axis=2) - log), 0.0)
            dscore = p * (tl.sum(dout * v, axis=2) - along)
            dq += dscore[:, :, None] * k
            dk = tl.sum(dscore[:, :, None] * q, axis=1, keep_dims=True)
            dv = tl.sum(p[:, :, None] * dout, axis=1, keep_dims=True)
            if ROTARY:
                dk = turn(dk, one_token(cos, j, SIZE), -one_token(sin, j, SIZE))
            tl.store(dqkv + at_key, dk, mask=there[:, None, None])
            tl.store(dqkv + at_key + WIDTH, dv, mask=there[:, None, None])
        if ROTARY:
            dq = turn(dq, cosines, -sines)
        tl.store(dqkv + at_qkv, dq * scale, mask=mine[:, :, None])
