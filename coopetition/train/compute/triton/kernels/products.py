"""Matrix products of a tile of rows with a weight, in registers and shared memory."""

import triton
import triton.language as tl
from triton.language import constexpr


@triton.jit
def dot(a, b, PRECISION: constexpr):
    """The product a b, summed in float32.

    PRECISION is ``ieee`` (float32 operands), ``tf32x3`` (each operand as a sum of two TF32 numbers,
    float32 but for the last bits), ``tf32`` or ``bf16``.
    """
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    else:
        return tl.dot(a, b, input_precision=PRECISION)


@triton.jit
def by_rows(
    rows, valid, a, others, present, b, WIDTH: constexpr, CHUNK: constexpr,
    PRECISION: constexpr,
):  # fmt: skip
    """The product a bᵀ for rows of ``a`` and ``others`` of ``b``, both ``(·, WIDTH)`` in memory."""
    total = tl.zeros((rows.shape[0], others.shape[0]), tl.float32)
    for start in range(0, WIDTH, CHUNK):
        columns = start + tl.arange(0, CHUNK)
        left = tl.load(a + rows[:, None] * WIDTH + columns, mask=valid[:, None], other=0.0)
        right = tl.load(b + others[:, None] * WIDTH + columns, mask=present[:, None], other=0.0)
        total += dot(left, tl.trans(right), PRECISION)
    return total


@triton.jit
def by_columns(
    rows, valid, a, columns, b, INPUTS: constexpr, OUTPUTS: constexpr, CHUNK: constexpr,
    PRECISION: constexpr,
):  # fmt: skip
    """The product a b for rows of ``a`` ``(·, INPUTS)``, columns of ``b`` ``(INPUTS, OUTPUTS)``."""
    total = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
    for start in range(0, INPUTS, CHUNK):
        inputs = start + tl.arange(0, CHUNK)
        left = tl.load(a + rows[:, None] * INPUTS + inputs, mask=valid[:, None], other=0.0)
        right = tl.load(b + inputs[:, None] * OUTPUTS + columns)
        total += dot(left, right, PRECISION)
    return total


@triton.jit
def tile_by_rows(x, rows, valid, stored, others, weight, CHUNK: constexpr, PRECISION: constexpr):
    """The product x bᵀ of a tile x ``(R, d)`` in registers and rows of a weight b ``(·, d)``.

    A tile too wide for registers to hold its product's operands whole is read again, CHUNK columns
    at a time, from where it was ``stored`` before a barrier.
    """
    width: tl.constexpr = x.shape[1]
    if width > CHUNK:
        return by_rows(rows, valid, stored, others, others >= 0, weight, width, CHUNK, PRECISION)
    else:
        w = tl.load(weight + others[:, None] * width + tl.arange(0, width))
        return dot(x, tl.trans(w), PRECISION)


@triton.jit
def tile_by_columns(
    x, rows, valid, stored, columns, weight, OUTPUTS: constexpr, CHUNK: constexpr,
    PRECISION: constexpr,
):  # fmt: skip
    """The product x b for columns of a weight b ``(d, OUTPUTS)``: see `tile_by_rows`."""
    width: tl.constexpr = x.shape[1]
    if width > CHUNK:
        return by_columns(rows, valid, stored, columns, weight, width, OUTPUTS, CHUNK, PRECISION)
    else:
        w = tl.load(weight + tl.arange(0, width)[:, None] * OUTPUTS + columns)
        return dot(x, w, PRECISION)
