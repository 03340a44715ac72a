"""Compiled loops of the CPU's training step: what lies between its matrix products.

Each runs once over arrays that stay in cache and replaces a dozen small operations. Arrays are
C-contiguous float32; M members, B sequences, L labels in context, T = 2L + 1 tokens, d width. Rows
of the residual stream are ordered by token, then sequence, so that the queries are the last B rows.
`gradients.py` calls them in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .... import arrays

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., None])

# sums may be reordered into vectors, but NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "arcp", "nsz"}
NORM_EPS = np.float32(1e-5)
ZERO, ONE = np.float32(0), np.float32(1)


def compiled(function: Kernel) -> Kernel:
    """The function compiled at its first call; the machine code is kept on disk if it can be."""
    made = arrays.jit(function, fastmath=FAST, error_model="numpy", nogil=True)
    return cast(Kernel, made)


@compiled
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


@compiled
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


@compiled
def clear_rows(weight: Floats, labels: Integers) -> None:
    """Set the rows of ``(M, labels, d)`` that `labels` name to 0."""
    members, batch, context = labels.shape
    for m in range(members):
        for b in range(batch):
            for i in range(context):
                label = labels[m, b, i]
                for j in range(weight.shape[2]):
                    weight[m, label, j] = ZERO


@compiled
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


@compiled
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
            along, plain = ZERO, ZERO
            for j in range(width):
                unit = (x[m, n, j] - mean) * inverse
                dunit = dy[m, n, j] * weight[m, j]
                along += dunit * unit
                plain += dunit
            for j in range(width):
                dweight[m, j] += dy[m, n, j] * (x[m, n, j] - mean) * inverse
                dbias[m, j] += dy[m, n, j]
            along /= np.float32(width)
            plain /= np.float32(width)
            for j in range(width):
                unit = (x[m, n, j] - mean) * inverse
                dx[m, n, j] = inverse * (dy[m, n, j] * weight[m, j] - plain - unit * along)
            if n >= beside:
                for j in range(width):
                    dx[m, n, j] += residual[m, n - beside, j]


@compiled
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


@compiled
def cross_entropy(logits: Floats, probabilities: Floats, target: Integers, loss: Floats) -> None:
    """Mean loss of each member ``(M,)``; `probabilities` become B · ∂loss/∂logits in place.

    −log p[target] is taken as it is unless it underflows; then it is z[c] − z[target] − log p[c]
    for the most probable c.
    """
    members, batch, labels = logits.shape
    for m in range(members):
        total = 0.0
        for b in range(batch):
            wanted = target[m, b]
            if wanted < 0 or wanted >= labels:
                raise ValueError("a target is not below network.n_labels")
            p = probabilities[m, b, wanted]
            if p < np.float32(1e-30):
                best = 0
                for c in range(labels):
                    if probabilities[m, b, c] > probabilities[m, b, best]:
                        best = c
                gap = logits[m, b, best] - logits[m, b, wanted]
                total += gap - math.log(probabilities[m, b, best])
            else:
                total -= math.log(p)
            probabilities[m, b, wanted] = p - ONE
        loss[m] = np.float32(total / batch)
