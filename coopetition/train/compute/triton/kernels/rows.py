"""Products, LayerNorm and MLP of a tile of rows in registers and shared memory, with gradients."""

import triton
import triton.language as tl
from triton.language import constexpr

NORM_EPS = tl.constexpr(1e-5)
CUBIC, SQRT = tl.constexpr(0.044715), tl.constexpr(0.7978845608028654)  # of gelu; √(2/π)


@triton.jit
def dot(a, b, PRECISION: constexpr):
    """The product a b, summed in float32, in a PRECISION of `fused_step.PRECISIONS`."""
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


@triton.jit
def unit_rows(x):
    """Rows of x with mean 0 and variance 1, and the inverse deviation of each."""
    width: tl.constexpr = x.shape[1]
    centred = x - tl.sum(x, axis=1)[:, None] / width
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / width + NORM_EPS)
    return centred * inverse[:, None], inverse


@triton.jit
def norm(x, weight, bias):
    """LayerNorm of the rows x ``(R, d)`` with the weight and bias ``(d,)`` in memory."""
    columns = tl.arange(0, x.shape[1])
    unit, _ = unit_rows(x)
    return unit * tl.load(weight + columns)[None, :] + tl.load(bias + columns)[None, :]


@triton.jit
def norm_backward(dy, x, weight, dweight, dbias):
    """Gradient of x from dy, 0 in rows that do not count; those of weight and bias go to memory."""
    width: tl.constexpr = x.shape[1]
    columns = tl.arange(0, width)
    unit, inverse = unit_rows(x)
    tl.store(dweight + columns, tl.sum(dy * unit, axis=0))
    tl.store(dbias + columns, tl.sum(dy, axis=0))
    dunit = dy * tl.load(weight + columns)[None, :]
    along = tl.sum(dunit * unit, axis=1)[:, None] / width
    mean_dunit = tl.sum(dunit, axis=1)[:, None] / width
    return inverse[:, None] * (dunit - mean_dunit - unit * along)


@triton.jit
def tanh(x):
    """Hyperbolic tangent that neither overflows nor loses small x to more than rounding of 1."""
    return 1.0 - 2.0 / (tl.exp(2.0 * tl.minimum(x, 15.0)) + 1.0)  # 1 in float32 from 9 on


@triton.jit
def perceptron(
    n, normed, rows, valid, inner, inner_bias, outer, outer_bias, before, after,
    HIDDEN: constexpr, CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """MLP of n ``(R, d)``, stored at ``normed``; its hidden layer around gelu goes to memory."""
    width: tl.constexpr = n.shape[1]
    columns = tl.arange(0, width)
    for start in range(0, HIDDEN, CHUNK):
        hidden = start + tl.arange(0, CHUNK)
        h = tile_by_rows(n, rows, valid, normed, hidden, inner, CHUNK, PRECISION)
        h += tl.load(inner_bias + hidden)[None, :]
        gelu = 0.5 * h * (1.0 + tanh(SQRT * (h + CUBIC * h * h * h)))
        at = rows[:, None] * HIDDEN + hidden
        tl.store(before + at, h, mask=valid[:, None])
        tl.store(after + at, gelu, mask=valid[:, None])
    tl.debug_barrier()  # the next product reads what other threads have stored
    out = by_rows(rows, valid, after, columns, columns >= 0, outer, HIDDEN, CHUNK, PRECISION)
    return out + tl.load(outer_bias + columns)[None, :]


@triton.jit
def perceptron_backward(
    dout, stored, rows, valid, inner, outer, before, dbefore,
    HIDDEN: constexpr, CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Gradient of n ``(R, d)`` from that of the output; the hidden layer's goes to memory."""
    width: tl.constexpr = dout.shape[1]
    for start in range(0, HIDDEN, CHUNK):
        hidden = start + tl.arange(0, CHUNK)
        at = rows[:, None] * HIDDEN + hidden
        h = tl.load(before + at, mask=valid[:, None], other=0.0)
        bend = tanh(SQRT * (h + CUBIC * h * h * h))
        slope = 0.5 * (1.0 + bend)
        slope += 0.5 * h * (1.0 - bend * bend) * SQRT * (1.0 + 3.0 * CUBIC * h * h)
        dafter = tile_by_columns(dout, rows, valid, stored, hidden, outer, HIDDEN, CHUNK, PRECISION)
        tl.store(dbefore + at, dafter * slope, mask=valid[:, None])
    tl.debug_barrier()  # the next product reads what other threads have stored
    columns = tl.arange(0, width)
    return by_columns(rows, valid, dbefore, columns, inner, HIDDEN, width, CHUNK, PRECISION)
