"""The last launch of a step: gradients of the trunk's weights, and Adam on all but the unembedding.

The trunk's parameters are cut into jobs, each a tile of a weight or a vector; a table says where
its operands lie (`coopetition.train.compute.triton.jobs`). The label embedding is cut into tiles of
labels; all moments decay, and the few rows that were shown get their gradients.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .label_rows import label_tile, shown_row
from .products import dot
from .updates import adam

FIELDS = tl.constexpr(19)  # of a job


@triton.jit
def trunk_job(
    job, member, members, shrinks, parameters, first, second, numbers, store, examples,
    OUTPUTS: constexpr, INPUTS: constexpr, ROWS: constexpr, VECTOR: constexpr,
    ALIGNED: constexpr, BETA1: constexpr, BETA2: constexpr, EPS: constexpr,
    DECAY: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Gradient and update of one tile of a weight, or of a vector.

    ``job`` points at the fields of `jobs.Job`; the flat buffer ``store`` holds all activations.
    """
    is_vector, place, member_size = tl.load(job), tl.load(job + 1), tl.load(job + 2)
    outputs, inputs, stride = tl.load(job + 3), tl.load(job + 4), tl.load(job + 5)
    dy, dy_member, dy_stride = tl.load(job + 6), tl.load(job + 7), tl.load(job + 8)
    count, period = tl.load(job + 9), tl.load(job + 10)
    jump, step, start_row = tl.load(job + 11), tl.load(job + 12), tl.load(job + 13)
    shrink = tl.load(shrinks + tl.load(job + 14) * members + member)
    if ALIGNED:  # lets four neighbours be read at once
        dy, dy_member = tl.multiple_of(dy, 16), tl.multiple_of(dy_member, 16)
        dy_stride = tl.multiple_of(dy_stride, 16)
    dy = store + dy + member * dy_member
    place += member * member_size
    if ALIGNED:
        place = tl.multiple_of(place, 16)
    parameters, first, second = parameters + place, first + place, second + place
    if is_vector:
        e = tl.arange(0, VECTOR)
        inside = e < outputs
        total = tl.zeros((VECTOR,), tl.float32)
        start = 0
        while start < count:
            r = start + tl.arange(0, ROWS)
            row = r // period * jump + start_row + r % period * step
            mask = (r < count)[:, None] & inside[None, :]
            total += tl.sum(
                tl.load(dy + row[:, None] * dy_stride + e, mask=mask, other=0.0), axis=0
            )
            start += ROWS
        values = tl.load(parameters + e, mask=inside, other=0.0)
        adam(
            e, inside, values, total, parameters, first, second, numbers, shrink,
            BETA1, BETA2, EPS, DECAY,
        )  # fmt: skip
    else:
        from_examples, x_place = tl.load(job + 15), tl.load(job + 16)
        x_member, x_stride = tl.load(job + 17), tl.load(job + 18)
        if ALIGNED:
            stride = tl.multiple_of(stride, 16)
            x_place, x_member = tl.multiple_of(x_place, 16), tl.multiple_of(x_member, 16)
            x_stride = tl.multiple_of(x_stride, 16)
        x = tl.where(from_examples != 0, examples, store) + x_place + member * x_member
        o, i = tl.arange(0, OUTPUTS), tl.arange(0, INPUTS)
        gradient = tl.zeros((OUTPUTS, INPUTS), tl.float32)
        first_row = 0
        while first_row < count:
            r = first_row + tl.arange(0, ROWS)
            row = r // period * jump + start_row + r % period * step
            x_row = tl.where(from_examples != 0, r, row)
            there = (r < count)[:, None]
            part = tl.load(
                dy + row[:, None] * dy_stride + o, mask=there & (o < outputs)[None, :], other=0.0
            )
            xs = tl.load(
                x + x_row[:, None] * x_stride + i, mask=there & (i < inputs)[None, :], other=0.0
            )
            gradient += dot(tl.trans(part), xs, PRECISION)
            first_row += ROWS
        at = o[:, None] * stride + i
        mask = (o < outputs)[:, None] & (i < inputs)[None, :]
        weight = tl.load(parameters + at, mask=mask, other=0.0)
        adam(
            at, mask, weight, gradient, parameters, first, second, numbers, shrink,
            BETA1, BETA2, EPS, DECAY,
        )  # fmt: skip


@triton.jit
def update_rest(
    jobs, shrinks, label_shrink, parameters, first, second, numbers, store, examples, labels,
    dtokens, label_weight, first_label, second_label, loss, mean_loss, steps, count,
    n_jobs, n_labels,
    BATCH: constexpr, CONTEXT: constexpr, SHOWN: constexpr, LABELS: constexpr, WIDTH: constexpr,
    OUTPUTS: constexpr, INPUTS: constexpr, ROWS: constexpr, ALIGNED: constexpr,
    BETA1: constexpr, BETA2: constexpr, EPS: constexpr, DECAY: constexpr,
    LAZY: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Update the trunk and the label embedding; mean loss ``(M,)``; count the step."""
    program, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    numbers += member * 3
    if program < n_jobs:
        trunk_job(
            jobs + program * FIELDS, member, tl.num_programs(1), shrinks, parameters, first, second,
            numbers, store, examples, OUTPUTS, INPUTS, ROWS, WIDTH, ALIGNED, BETA1, BETA2, EPS,
            DECAY, PRECISION,
        )  # fmt: skip
    else:
        start, mine = (program - n_jobs) * LABELS, True
        if LAZY:
            start, mine = shown_row(
                labels, program - n_jobs, member, n_labels, BATCH, CONTEXT, SHOWN
            )
        if mine:
            label_tile(
                start, member, labels, dtokens, label_weight, first_label, second_label, numbers,
                tl.load(label_shrink + member), n_labels, BATCH, CONTEXT, SHOWN, LABELS, WIDTH,
                BETA1, BETA2, EPS, DECAY,
            )  # fmt: skip
    if program == 0:
        total = 0.0
        for start in range(0, BATCH, ROWS):
            b = start + tl.arange(0, ROWS)
            total += tl.sum(tl.load(loss + member * BATCH + b, mask=b < BATCH, other=0.0), axis=0)
        tl.store(mean_loss + member, total / BATCH)
        if member == 0:
            done = tl.load(steps) + 1
            tl.store(steps, done)
            tl.store(count, done.to(tl.float32))
