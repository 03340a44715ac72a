"""Adam's step on a tile, and the numbers it needs, read from the device."""

import triton
import triton.language as tl
from triton.language import constexpr


@triton.jit
def rate(kind: constexpr, schedule, done):
    """One member's learning rate after ``done`` steps, float64: see `schedules.learning_rates`.

    ``schedule`` points at lr, floor, warm-up and decay steps of the member.
    """
    lr, floor = tl.load(schedule), tl.load(schedule + 1)
    warmup, decay = tl.load(schedule + 2), tl.load(schedule + 3)
    if kind == "constant":
        return lr
    else:
        rising = floor + (lr - floor) * done / tl.maximum(warmup, 1.0)
        if kind == "warmup_decay":
            left = tl.minimum(tl.maximum(1.0 - (done - warmup) / decay, 0.0), 1.0)
            falling = floor + (lr - floor) * tl.sqrt(left)
        else:
            share = (done - warmup) / tl.maximum(decay - warmup, 1.0)
            share = tl.minimum(tl.maximum(share, 0.0), 1.0)
            falling = lr / 2 * (1.0 + tl.cos(3.141592653589793 * share))
        return tl.where(done < warmup, rising, falling)


@triton.jit
def prepare_numbers(kind: constexpr, schedule, logs, steps, numbers, member):
    """Store a member's lr, lr / (1 − β₁ᵗ) and √(1 − β₂ᵗ), t the step's number from 1.

    ``logs`` points at log β₁ and log β₂ in float64.
    """
    done = tl.load(steps).to(tl.float64)
    lr = rate(kind, schedule + member * 4, done)
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
    """Move a tile of weights, and its moments, down a gradient, in place.

    Parameters
    ----------
    at, mask
        Where the tile lies in the flat buffers, and which of it.
    weight, gradient
        The tile's weights as loaded and their gradient.
    parameters, first, second
        The flat buffers of weights and moments.
    numbers
        The member's three of `prepare_numbers`.
    shrink
        λ of the weight decay.
    BETA1, BETA2, EPS
        β₁, β₂ and ε.
    DECAY
        Kind of the decay: ``none``, ``squared`` or ``decoupled``.
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
