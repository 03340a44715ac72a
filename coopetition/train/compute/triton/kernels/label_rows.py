"""The update of the label embedding, of which a step gives gradients to a few rows only.

Without a gradient a row still moves while its moments decay. Either every step updates every row,
or, lazily, only the rows shown: before a row is shown again, and whenever the weights are to be
read, the steps that it missed are made up for. Such a step is one of Adam with g = 0.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .updates import adam

AT_ONCE = tl.constexpr(8)  # steps between looks at whether a weight still changes


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
    """Update LABELS rows of the label embedding ``(M, C, d)`` from row ``start`` on.

    Gradients of the labels shown, ``(M, B, L)``, are added in their order, those of other tiles
    passed over.
    """
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

    ``since`` and ``missed`` are of each row, ``(R,)``. Every operation is that of `updates.adam`
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
    labels, label_weight, first_label, second_label, seen, steps, schedule, logs, n_labels,
    BATCH: constexpr, CONTEXT: constexpr, SHOWN: constexpr, WIDTH: constexpr, LABELS: constexpr,
    EVERY: constexpr, BETA1: constexpr, BETA2: constexpr, EPS: constexpr,
):  # fmt: skip
    """Take the steps that rows of the label embedding missed: rows shown next, or EVERY row.

    ``seen`` ``(M, C)`` is the step after which a row is as it should be. Learning rates are
    constant, and labels do not decay.
    """
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
            tl.load(schedule + member * 4), logs, BETA1, BETA2, EPS,
        )  # fmt: skip
        if not EVERY:
            done += 1  # the step that has begun gives these rows gradients
        tl.store(seen + label, done, mask=label < n_labels)
