"""Compiled causal attention for many short sequences, vectorised over the batch.

With five tokens and eight entries a head, neither axis fills a vector register; the batch does. So
the last axis here is the sequence, and a head's size is known when the loops are compiled.
Arrays are C-contiguous float32; M members, B sequences, T tokens, R rows that attend (T, or 1 for
the query alone), H heads of `size` entries, d = H·size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from .kernels import ONE, ZERO, Floats, compiled

LOG2E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST = np.float32(-87.0)  # e to this is the smallest normal float
HALF = np.float32(0.5)
# least-squares polynomial of (eʳ − 1 − r)/r² on |r| ≤ ln 2 / 2
C0, C1, C2 = np.float32(0.5), np.float32(0.166666546), np.float32(0.0416657962)
C3, C4, C5 = np.float32(0.00833345204), np.float32(0.00139819995), np.float32(0.000198756912)


@intrinsic  # type: ignore[untyped-decorator]
def truncated(typing_context: Any, value: Any) -> Any:
    """A float's integer part, as a float (numba's own goes through 64 bits)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.sitofp(builder.fptosi(arguments[0], ir.IntType(32)), ir.FloatType())

    return numba.float32(numba.float32), code


@intrinsic  # type: ignore[untyped-decorator]
def power_of_two(typing_context: Any, exponent: Any) -> Any:
    """2ⁿ for a float n of integer value in −126 … 127, by setting the exponent's bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], bits), ir.Constant(bits, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(bits, 23)), ir.FloatType())

    return numba.float32(numba.float32), code


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def exponential(x: Any) -> Any:
    """eˣ for x ≤ 0 to float accuracy, free of branches so that loops over it are vectorised."""
    x = SMALLEST if x < SMALLEST else x  # written so that NaN stays NaN
    n = truncated(x * LOG2E - HALF)
    r = x - n * LN2_HIGH - n * LN2_LOW
    series = C0 + r * (C1 + r * (C2 + r * (C3 + r * (C4 + r * C5))))
    return (ONE + r + r * r * series) * power_of_two(n)


@functools.cache
def attention_kernels(size: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """`attend` and `attend_backward` for heads of `size` entries.

    ``attend(q, kv, key, value, patterns, mixed)``: queries are rows 0 … d of ``q``
    ``(M, ≥ d, R, B)``, keys and values the d rows of ``kv`` ``(M, ≥ 2d, T, B)`` from `key` and from
    `value` on. Fills ``patterns`` ``(M, H, R, T, B)`` and ``mixed`` ``(M, d, R, B)``.

    ``attend_backward(dmixed, patterns, q, kv, key, value, dq, dkv)``: fills ``dq`` and ``dkv``,
    which are laid out as ``q`` and ``kv`` are.
    """
    scale = np.float32(size**-0.5)

    def attend(
        q: Floats, kv: Floats, key: int, value: int, patterns: Floats, mixed: Floats
    ) -> None:
        members, heads, rows, tokens, batch = patterns.shape
        largest, total = np.empty(batch, np.float32), np.empty(batch, np.float32)
        for m in range(members):
            for h in range(heads):
                at = h * size
                for r in range(rows):
                    seen = tokens - rows + r + 1
                    largest[:] = -np.float32(np.inf)
                    total[:] = ZERO
                    for t in range(seen):
                        for b in range(batch):
                            score = ZERO
                            for j in range(size):
                                score += q[m, at + j, r, b] * kv[m, key + at + j, t, b]
                            score *= scale
                            patterns[m, h, r, t, b] = score
                            largest[b] = score if score > largest[b] else largest[b]
                    for t in range(seen):
                        for b in range(batch):
                            weight = exponential(patterns[m, h, r, t, b] - largest[b])
                            patterns[m, h, r, t, b] = weight
                            total[b] += weight
                    for t in range(seen, tokens):
                        patterns[m, h, r, t] = ZERO
                    for j in range(size):
                        mixed[m, at + j, r] = ZERO
                    for t in range(seen):
                        for b in range(batch):
                            patterns[m, h, r, t, b] /= total[b]
                        for j in range(size):
                            for b in range(batch):
                                mixed[m, at + j, r, b] += (
                                    patterns[m, h, r, t, b] * kv[m, value + at + j, t, b]
                                )

    def attend_backward(
        dmixed: Floats, patterns: Floats, q: Floats, kv: Floats, key: int, value: int, dq: Floats,
        dkv: Floats,
    ) -> None:  # fmt: skip
        members, heads, rows, tokens, batch = patterns.shape
        dscores, mean = np.empty((tokens, batch), np.float32), np.empty(batch, np.float32)
        for m in range(members):
            for h in range(heads):
                at = h * size
                for j in range(size):
                    dkv[m, key + at + j] = ZERO
                    dkv[m, value + at + j] = ZERO
                    dq[m, at + j] = ZERO
                for r in range(rows):
                    seen = tokens - rows + r + 1
                    mean[:] = ZERO
                    for t in range(seen):
                        for b in range(batch):
                            dweight = ZERO
                            for j in range(size):
                                dweight += dmixed[m, at + j, r, b] * kv[m, value + at + j, t, b]
                            dscores[t, b] = dweight
                            mean[b] += patterns[m, h, r, t, b] * dweight
                        for j in range(size):
                            for b in range(batch):
                                dkv[m, value + at + j, t, b] += (
                                    patterns[m, h, r, t, b] * dmixed[m, at + j, r, b]
                                )
                    for t in range(seen):
                        for b in range(batch):
                            dscores[t, b] = (
                                patterns[m, h, r, t, b] * (dscores[t, b] - mean[b]) * scale
                            )
                        for j in range(size):
                            for b in range(batch):
                                dq[m, at + j, r, b] += dscores[t, b] * kv[m, key + at + j, t, b]
                                dkv[m, key + at + j, t, b] += dscores[t, b] * q[m, at + j, r, b]

    return compiled(attend), compiled(attend_backward)
