"""Logits, cross-entropy and the unembedding's own gradient and update, tile of labels by tile.

Logits never go to memory. The first kernel leaves, for every part of the labels, the largest logit
a, the sum s = Σ exp(z − a) and the vector Σ exp(z − a) W; these give the loss and the query's
gradient, (Σ softmax(z) W − W[target]) / B. The second computes logits again where it needs their
gradient, so that the gradient of W stays in registers until Adam has used it.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .rows import by_rows, dot
from .updates import adam


@triton.jit
def unembedding_forward(
    query, target, weight, bias, largest, total, vector, target_logit, target_vector,
    n_labels,
    BATCH: constexpr, PARTS: constexpr, PER_PART: constexpr, WIDTH: constexpr,
    LABELS: constexpr, QUERIES: constexpr, CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Fill ``largest``, ``total`` ``(M, PARTS, B)`` and ``vector`` ``(M, PARTS, B, d)``.

    A program takes PER_PART tiles of LABELS labels and QUERIES queries. The one that has a query's
    target among its labels also stores the target's logit ``(M, B)`` and weights ``(M, B, d)``;
    a target that does not exist gets NaN.
    """
    part, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    b, columns = tl.program_id(2) * QUERIES + tl.arange(0, QUERIES), tl.arange(0, WIDTH)
    there = b < BATCH
    weight, bias = weight + member * n_labels * WIDTH, bias + member * n_labels
    query, target = query + member * BATCH * WIDTH, target + member * BATCH
    place = b[:, None] * WIDTH + columns
    q = tl.load(query + place, mask=there[:, None], other=0.0)
    answer = tl.load(target + b, mask=there, other=-1)
    first = part * PER_PART * LABELS
    a = tl.full((QUERIES,), float("-inf"), tl.float32)
    s, of_target = tl.zeros((QUERIES,), tl.float32), tl.zeros((QUERIES,), tl.float32)
    mean = tl.zeros((QUERIES, WIDTH), tl.float32)
    for tile in range(PER_PART):
        label = first + tile * LABELS + tl.arange(0, LABELS)
        exists = label < n_labels
        w = tl.load(weight + label[:, None] * WIDTH + columns, mask=exists[:, None], other=0.0)
        if CHUNK < WIDTH:
            z = by_rows(b, there, query, label, exists, weight, WIDTH, CHUNK, PRECISION)
        else:
            z = dot(q, tl.trans(w), PRECISION)
        z += tl.load(bias + label, mask=exists, other=float("-inf"))[None, :]
        of_target += tl.sum(tl.where(label[None, :] == answer[:, None], z, 0.0), axis=1)
        larger = tl.maximum(a, tl.max(z, axis=1))
        before, e = tl.exp(a - larger), tl.exp(z - larger[:, None])
        s = s * before + tl.sum(e, axis=1)
        mean = mean * before[:, None] + dot(e, w, PRECISION)
        a = larger
    before = (member * PARTS + part) * BATCH
    largest, total, vector = largest + before, total + before, vector + before * WIDTH
    tl.store(largest + b, a, mask=there)
    tl.store(total + b, s, mask=there)
    tl.store(vector + place, mean, mask=there[:, None])
    end = tl.minimum(first + PER_PART * LABELS, n_labels)
    mine = there & (answer >= first) & (answer < end)
    here = part + tl.zeros_like(b) == 0  # a whole vector: interpreters broadcast no scalar truths
    missing = there & here & ((answer < 0) | (answer >= n_labels))
    row = tl.load(weight + answer[:, None] * WIDTH + columns, mask=mine[:, None], other=0.0)
    row = tl.where(missing[:, None], float("nan"), row)
    tl.store(target_vector + member * BATCH * WIDTH + place, row, mask=(mine | missing)[:, None])
    of_target = tl.where(missing, float("nan"), of_target)
    tl.store(target_logit + member * BATCH + b, of_target, mask=mine | missing)


@triton.jit
def log_sum(largest, total, at, there, BATCH: constexpr, PARTS: constexpr, AT_ONCE: constexpr):
    """Log of the sum of exponentials over all parts, for the sequences at ``at``."""
    a = tl.full(at.shape, float("-inf"), tl.float32)
    s = tl.zeros(at.shape, tl.float32)
    for start in range(0, PARTS, AT_ONCE):
        part = start + tl.arange(0, AT_ONCE)
        place, mask = part[:, None] * BATCH + at[None, :], (part < PARTS)[:, None] & there[None, :]
        a_part = tl.load(largest + place, mask=mask, other=float("-inf"))
        a_part = tl.where(there[None, :], a_part, 0.0)
        s_part = tl.load(total + place, mask=mask, other=0.0)
        larger = tl.maximum(a, tl.max(a_part, axis=0))
        s = s * tl.exp(a - larger) + tl.sum(s_part * tl.exp(a_part - larger[None, :]), axis=0)
        a = larger
    return a + tl.log(tl.where(there, s, 1.0))


@triton.jit
def unembedding_backward(
    query, target, largest, total, numbers, weight, bias, first_weight, first_bias, second_weight,
    second_bias, weight_shrink, bias_shrink, n_labels, share,
    BATCH: constexpr, PARTS: constexpr, WIDTH: constexpr, LABELS: constexpr, QUERIES: constexpr,
    AT_ONCE: constexpr,
    BETA1: constexpr, BETA2: constexpr, EPS: constexpr, DECAY: constexpr,
    CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Update LABELS rows of the unembedding, weight ``(M, C, d)`` and bias ``(M, C)``."""
    member, columns = tl.program_id(1).to(tl.int64), tl.arange(0, WIDTH)
    label = tl.program_id(0) * LABELS + tl.arange(0, LABELS)
    exists = label < n_labels
    # a member's parts of the tensors: places within them are short numbers
    rows, entries = member * n_labels, member * n_labels * WIDTH
    weight, first_weight = weight + entries, first_weight + entries
    second_weight += entries
    bias, first_bias, second_bias = bias + rows, first_bias + rows, second_bias + rows
    query, target = query + member * BATCH * WIDTH, target + member * BATCH
    largest, total = largest + member * PARTS * BATCH, total + member * PARTS * BATCH
    at, mask = label[:, None] * WIDTH + columns, exists[:, None]
    w = tl.load(weight + at, mask=mask, other=0.0)
    of_label = tl.load(bias + label, mask=exists, other=0.0)
    dw = tl.zeros((LABELS, WIDTH), tl.float32)
    dbias = tl.zeros((LABELS,), tl.float32)
    for start in range(0, BATCH, QUERIES):
        b = start + tl.arange(0, QUERIES)
        there = b < BATCH
        answer = tl.load(target + b, mask=there, other=-1)
        log = log_sum(largest, total, b, there, BATCH, PARTS, AT_ONCE)
        q = tl.load(query + b[:, None] * WIDTH + columns, mask=there[:, None], other=0.0)
        if CHUNK < WIDTH:
            z = by_rows(label, exists, weight, b, there, query, WIDTH, CHUNK, PRECISION)
        else:
            z = dot(w, tl.trans(q), PRECISION)
        z += of_label[:, None]
        hit = tl.where(label[:, None] == answer[None, :], 1.0, 0.0)
        p = tl.exp(tl.where(there[None, :], z - log[None, :], float("-inf")))
        dz = (p - hit) * share
        dw += dot(dz, q, PRECISION)
        dbias += tl.sum(dz, axis=1)
    numbers += member * 3
    adam(
        at, mask, w, dw, weight, first_weight, second_weight, numbers,
        tl.load(weight_shrink + member), BETA1, BETA2, EPS, DECAY,
    )  # fmt: skip
    adam(
        label, exists, of_label, dbias, bias, first_bias, second_bias, numbers,
        tl.load(bias_shrink + member), BETA1, BETA2, EPS, DECAY,
    )  # fmt: skip
