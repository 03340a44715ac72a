"""Adam on a tile of weights, and the launches that update all but the unembedding.

The trunk's parameters are cut into jobs, each a tile of a weight or a vector; a table says where
its operands lie (`coopetition.train.compute.triton.jobs`). The label embedding is cut into tiles of
labels, of which a step gives gradients to a few rows only. Without a gradient a row still moves
while its moments decay: either every step updates every row, or, lazily, only the rows shown, and
the steps that a row missed are made up for before it is shown or read again. Such a step is one of
Adam with g = 0.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .rows import dot

AT_ONCE = tl.constexpr(8)  # steps between looks at whether a weight still changes
FIELDS = tl.constexpr(19)  # of a job


@triton.jit
def prepare_numbers(rates, logs, steps, numbers, member):
    """Store a member's lr, lr / (1 − β₁ᵗ) and √(1 − β₂ᵗ), t the step's number from 1."""
    done = tl.load(steps).to(tl.float64)
    lr = tl.load(rates + member).to(tl.float64)
    first = 1.0 - tl.exp((done + 1.0) * tl.load(logs))
    second = 1.0 - tl.exp((done + 1.0) * tl.load(logs + 1))
    tl.store(numbers + member * 3, lr.to(tl.float32))
    tl.store(numbers + member * 3 + 1, (lr / first).to(tl.float32))
    tl.store(numbers + member * 3 + 2, tl.sqrt(second).to(tl.float32))


@triton.jit
def adam(
    at, mask, weight, gradient, parameters, first, second, numbers, shrink,
    BETA1: constexpr, BETA2: constexpr, EPS: constexpr, DECAY: constexpr,
):  # fmt: skip
    """Adam's step of a tile of weights and moments at ``at``, in place.

    ``numbers`` are those of `prepare_numbers`, ``shrink`` is λ of the weight decay and DECAY its
    kind: ``none``, ``squared`` or ``decoupled``.
    """
    lr, size, root = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    m = tl.load(first + at, mask=mask, other=0.0)
    v = tl.load(second + at, mask=mask, other=0.0)
    if DECAY == "squared":
        gradient += weight * shrink
    if DECAY == "decoupled":
        weight -= lr * shrink * weight
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * gradient * gradient
    weight -= size * m / (tl.sqrt(v) / root + EPS)
    tl.store(parameters + at, weight, mask=mask)
    tl.store(first + at, m, mask=mask)
    tl.store(second + at, v, mask=mask)


@triton.jit
def shown_row(labels, n, member, n_labels, BATCH: constexpr, CONTEXT: constexpr, SHOWN: constexpr):
    """The n-th label shown, and whether it exists and is the first of its kind in the batch."""
    place = tl.arange(0, SHOWN)
    shown = labels + member * (BATCH * CONTEXT)
    value = tl.load(shown + place, mask=place < n, other=-1)
    label = tl.load(shown + n)
    before = tl.sum(tl.where((value == label) & (place < n), 1, 0), axis=0)
    return label.to(tl.int32), (before == 0) & (label >= 0) & (label < n_labels)


@triton.jit
def label_tile(
    start, member, labels, dtokens, weight, first, second, numbers, shrink, n_labels,
    BATCH: constexpr, CONTEXT: constexpr, SHOWN: constexpr, LABELS: constexpr, WIDTH: constexpr,
    BETA1: constexpr, BETA2: constexpr, EPS: constexpr, DECAY: constexpr,
):  # fmt: skip
    """Update LABELS rows of the label embedding ``(M, C, d)`` from row ``start`` on."""
    columns = tl.arange(0, WIDTH)
    label = start + tl.arange(0, LABELS)
    before = member * n_labels * WIDTH
    weight, first, second = weight + before, first + before, second + before
    at = label[:, None] * WIDTH + columns
    mask = (label < n_labels)[:, None]
    place = tl.arange(0, SHOWN)
    shown = BATCH * CONTEXT
    value = tl.load(labels + member * shown + place, mask=place < shown, other=-1).to(tl.int32)
    hits = (value >= start) & (value < start + LABELS)
    dtokens += member * (BATCH * (2 * CONTEXT + 1) * WIDTH)
    gradient = tl.zeros((LABELS, WIDTH), tl.float32)
    now = tl.min(tl.where(hits, place, SHOWN), axis=0)
    while now < SHOWN:
        hit = tl.sum(tl.where(place == now, value, 0), axis=0)
        row = now // CONTEXT * (2 * CONTEXT + 1) + now % CONTEXT * 2 + 1
        part = tl.load(dtokens + row * WIDTH + columns)
        gradient += tl.where((label == hit)[:, None], part[None, :], 0.0)
        now = tl.min(tl.where(hits & (place > now), place, SHOWN), axis=0)
    w = tl.load(weight + at, mask=mask, other=0.0)
    adam(at, mask, w, gradient, weight, first, second, numbers, shrink, BETA1, BETA2, EPS, DECAY)


@triton.jit
def missed_steps(
    at, weight, first, second, since, missed, lr, logs,
    BETA1: constexpr, BETA2: constexpr, EPS: constexpr,
):  # fmt: skip
    """Take the ``missed`` steps after step ``since`` of the rows at ``at`` ``(R, d)``, in place.

    ``since`` and ``missed`` are of each row, ``(R,)``. Every operation is that of `adam`
    with g = 0, so that rows have the same bits however often they are brought up to date. Updates
    only become smaller: once none changes a weight, none will, and the moments alone go on.
    """
    log1, log2 = tl.load(logs), tl.load(logs + 1)
    mask = (missed > 0)[:, None]
    w = tl.load(weight + at, mask=mask, other=0.0)
    m, v = tl.load(first + at, mask=mask, other=0.0), tl.load(second + at, mask=mask, other=0.0)
    size = tl.zeros_like(since).to(tl.float32)[:, None] + lr.to(tl.float32)
    root = tl.zeros_like(since).to(tl.float32)[:, None] + 1.0
    # the corrections of bias end; until then each step has its own
    soonest = tl.min(since, axis=0).to(tl.float64) + 1.0
    corrected = (1.0 - tl.exp(soonest * log1) < 1.0) | (1.0 - tl.exp(soonest * log2) < 1.0)
    j, most = 0, tl.max(missed, axis=0)
    moving = most > 0
    while moving:
        before = w
        for _ in range(AT_ONCE):
            if corrected:
                t = (since + j).to(tl.float64) + 1.0
                size = (lr / (1.0 - tl.exp(t * log1))).to(tl.float32)[:, None]
                root = tl.sqrt(1.0 - tl.exp(t * log2)).to(tl.float32)[:, None]
            goes_on = (j < missed)[:, None]
            m, v = tl.where(goes_on, BETA1 * m, m), tl.where(goes_on, BETA2 * v, v)
            w = tl.where(goes_on, w - size * m / (tl.sqrt(v) / root + EPS), w)
            j += 1
        changed = tl.where((w < before) | (w > before), 1, 0)  # not where it is no number
        moving = (j < most) & (tl.max(tl.max(changed, axis=1), axis=0) > 0)
    while j < most:
        goes_on = (j < missed)[:, None]
        m, v = tl.where(goes_on, BETA1 * m, m), tl.where(goes_on, BETA2 * v, v)
        j += 1
    tl.store(weight + at, w, mask=mask)
    tl.store(first + at, m, mask=mask)
    tl.store(second + at, v, mask=mask)


@triton.jit
def make_up(
    labels, label_weight, first_label, second_label, seen, steps, rates, logs, n_labels,
    BATCH: constexpr, CONTEXT: constexpr, SHOWN: constexpr, WIDTH: constexpr, LABELS: constexpr,
    EVERY: constexpr, BETA1: constexpr, BETA2: constexpr, EPS: constexpr,
):  # fmt: skip
    """Take the steps that rows of the label embedding missed: rows shown next, or EVERY row."""
    program, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    start, mine = program * LABELS, True
    if not EVERY:
        start, mine = shown_row(labels, program, member, n_labels, BATCH, CONTEXT, SHOWN)
    if mine:
        label = start + tl.arange(0, LABELS)
        seen += member * n_labels
        done = tl.load(steps).to(tl.int32)
        since = tl.load(seen + label, mask=label < n_labels, other=done).to(tl.int32)
        before = member * n_labels * WIDTH
        missed_steps(
            label[:, None] * WIDTH + tl.arange(0, WIDTH), label_weight + before,
            first_label + before, second_label + before, since, done - since,
            tl.load(rates + member).to(tl.float64), logs, BETA1, BETA2, EPS,
        )  # fmt: skip
        if not EVERY:
            done += 1  # the step that has begun gives these rows gradients
        tl.store(seen + label, done, mask=label < n_labels)


@triton.jit
def trunk_job(
    job, member, members, shrinks, parameters, first, second, numbers, store, examples,
    OUTPUTS: constexpr, INPUTS: constexpr, ROWS: constexpr, VECTOR: constexpr,
    ALIGNED: constexpr, BETA1: constexpr, BETA2: constexpr, EPS: constexpr,
    DECAY: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Gradient and update of the tile or vector of a ``job`` (see `jobs.Job`)."""
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
