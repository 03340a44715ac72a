"""Compiled loops of the CPU's training step: what lies between its matrix products.

Each runs once over arrays that stay in cache and replaces a dozen small operations. Arrays are
C-contiguous float32; M members, B sequences, L labels in context, T = 2L + 1 tokens, d width. Rows
of the residual stream are ordered by token, then sequence, so that the queries are the last B rows.

Attention is vectorised over the batch: with five tokens and eight entries a head, neither axis
fills a vector register. So its last axis is the sequence, and a head's size is known when it is
compiled. R rows attend (T, or 1 for the query alone), H heads of `size` entries, d = H·size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from .... import arrays

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., None])

# sums may be reordered into vectors, but NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "arcp", "nsz"}
NORM_EPS = np.float32(1e-5)
ZERO, ONE = np.float32(0), np.float32(1)
LOG2E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST = np.float32(-87.0)  # e to this is the smallest normal float
HALF = np.float32(0.5)
# least-squares polynomial of (eʳ − 1 − r)/r² on |r| ≤ ln 2 / 2
C0, C1, C2 = np.float32(0.5), np.float32(0.166666546), np.float32(0.0416657962)
C3, C4, C5 = np.float32(0.00833345204), np.float32(0.00139819995), np.float32(0.000198756912)


def njit_kernel(function: Kernel) -> Kernel:
    """The function compiled at its first call; the machine code is kept on disk if it can be."""
    kernel = arrays.jit(function, fastmath=FAST, error_model="numpy", nogil=True)
    return cast(Kernel, kernel)


@njit_kernel
def embed(
    shown: Floats, bias: Floats, weight: Floats, labels: Integers, positions: Floats, x: Floats
) -> None:
    """Tokens x ``(M, T, B, d)`` from embedded exemplars ``(M, B, L + 1, d)`` and label vectors.

    ``bias`` ``(M, d)`` is the exemplars', ``weight`` ``(M, labels, d)``, ``positions``
    ``(M, ≥ T, d)``.
    """
    members, tokens, batch, width = x.shape
    for m in range(members):
        for t in range(tokens):
            i = t // 2
            for b in range(batch):
                if t % 2 == 0:
                    for j in range(width):
                        x[m, t, b, j] = shown[m, b, i, j] + bias[m, j] + positions[m, t, j]
                else:
                    label = labels[m, b, i]
                    if label < 0 or label >= weight.shape[1]:
                        raise ValueError("a label in context is not below network.n_labels")
                    for j in range(width):
                        x[m, t, b, j] = weight[m, label, j] + positions[m, t, j]


@njit_kernel
def embed_backward(
    dx: Floats, labels: Integers, dshown: Floats, dbias: Floats, dweight: Floats, dpositions: Floats
) -> None:
    """Gradients of `embed`; those of label vectors are added to what is there, others replaced."""
    members, tokens, batch, width = dx.shape
    dbias[:] = ZERO
    dpositions[:] = ZERO
    for m in range(members):
        for t in range(tokens):
            i = t // 2
            for b in range(batch):
                for j in range(width):
                    dpositions[m, t, j] += dx[m, t, b, j]
                if t % 2 == 0:
                    for j in range(width):
                        dshown[m, b, i, j] = dx[m, t, b, j]
                        dbias[m, j] += dx[m, t, b, j]
                else:
                    label = labels[m, b, i]
                    for j in range(width):
                        dweight[m, label, j] += dx[m, t, b, j]


@njit_kernel
def clear_rows(weight: Floats, labels: Integers) -> None:
    """Set the rows of ``(M, labels, d)`` that `labels` name to 0."""
    members, batch, context = labels.shape
    for m in range(members):
        for b in range(batch):
            for i in range(context):
                label = labels[m, b, i]
                for j in range(weight.shape[2]):
                    weight[m, label, j] = ZERO


@njit_kernel
def norm(x: Floats, weight: Floats, bias: Floats, y: Floats, moments: Floats) -> None:
    """LayerNorm of x into y, ``(M, N, d)``; ``moments`` ``(M, N, 2)``: mean, 1/deviation."""
    members, rows, width = x.shape
    for m in range(members):
        for n in range(rows):
            total = ZERO
            for j in range(width):
                total += x[m, n, j]
            mean = total / np.float32(width)
            square = ZERO
            for j in range(width):
                square += (x[m, n, j] - mean) * (x[m, n, j] - mean)
            inverse = ONE / np.sqrt(square / np.float32(width) + NORM_EPS)
            moments[m, n, 0] = mean
            moments[m, n, 1] = inverse
            for j in range(width):
                y[m, n, j] = (x[m, n, j] - mean) * inverse * weight[m, j] + bias[m, j]


@njit_kernel
def norm_backward(
    dy: Floats, x: Floats, moments: Floats, weight: Floats, residual: Floats, dx: Floats,
    dweight: Floats, dbias: Floats,
) -> None:  # fmt: skip
    """Gradients of `norm`.

    ``residual`` ``(M, ≤ N, d)`` is the gradient that reaches the last rows of x beside the
    normalisation; it is added.
    """
    members, rows, width = x.shape
    beside = rows - residual.shape[1]
    dweight[:] = ZERO
    dbias[:] = ZERO
    for m in range(members):
        for n in range(rows):
            mean, inverse = moments[m, n, 0], moments[m, n, 1]
            along, mean_dunit = ZERO, ZERO
            for j in range(width):
                unit = (x[m, n, j] - mean) * inverse
                dunit = dy[m, n, j] * weight[m, j]
                along += dunit * unit
                mean_dunit += dunit
            for j in range(width):
                dweight[m, j] += dy[m, n, j] * (x[m, n, j] - mean) * inverse
                dbias[m, j] += dy[m, n, j]
            along /= np.float32(width)
            mean_dunit /= np.float32(width)
            for j in range(width):
                unit = (x[m, n, j] - mean) * inverse
                dx[m, n, j] = inverse * (dy[m, n, j] * weight[m, j] - mean_dunit - unit * along)
            if n >= beside:
                for j in range(width):
                    dx[m, n, j] += residual[m, n - beside, j]


@njit_kernel
def rotate(
    x: Floats, row: int, width: int, first: int, cos: Floats, sin: Floats, back: bool
) -> None:
    """Turn the `width` rows of x ``(M, ≥ d, R, B)`` from `row` on by their positions' angles.

    ``cos`` and ``sin`` are ``(≥ first + R, size / 2)`` for heads of `size` entries.
    """
    members, _, tokens, batch = x.shape
    half = cos.shape[1]
    for m in range(members):
        for pair in range(width // 2):
            at = row + 2 * pair
            for t in range(tokens):
                c, s = cos[first + t, pair % half], sin[first + t, pair % half]
                if back:
                    s = -s
                for b in range(batch):
                    even, odd = x[m, at, t, b], x[m, at + 1, t, b]
                    x[m, at, t, b] = even * c - odd * s
                    x[m, at + 1, t, b] = odd * c + even * s


@njit_kernel
def cross_entropy(logits: Floats, probabilities: Floats, target: Integers, loss: Floats) -> None:
    """Mean loss of each member ``(M,)``; `probabilities` become B · ∂loss/∂logits in place.

    −log p[target] is taken as it is unless it underflows; then it is z[c] − z[target] − log p[c]
    for the most probable c.
    """
    members, batch, labels = logits.shape
    for m in range(members):
        total = 0.0
        for b in range(batch):
            answer = target[m, b]
            if answer < 0 or answer >= labels:
                raise ValueError("a target is not below network.n_labels")
            p = probabilities[m, b, answer]
            if p < np.float32(1e-30):
                best = 0
                for c in range(labels):
                    if probabilities[m, b, c] > probabilities[m, b, best]:
                        best = c
                gap = logits[m, b, best] - logits[m, b, answer]
                total += gap - math.log(probabilities[m, b, best])
            else:
                total -= math.log(p)
            probabilities[m, b, answer] = p - ONE
        loss[m] = np.float32(total / batch)


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

    return njit_kernel(attend), njit_kernel(attend_backward)
