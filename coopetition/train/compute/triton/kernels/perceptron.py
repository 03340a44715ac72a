"""The MLP of a block, W₂ gelu(W₁ n + b₁) + b₂ with the tanh form of gelu, and its gradient.

A tile of rows n ``(R, d)`` is in registers; the hidden layer ``(N, h)`` goes through memory, a
CHUNK of its columns at a time.
"""

import triton
import triton.language as tl
from triton.language import constexpr

from .products import by_columns, by_rows, tile_by_columns, tile_by_rows

CUBIC, SQRT = tl.constexpr(0.044715), tl.constexpr(0.7978845608028654)  # √(2/π)


@triton.jit
def tanh(x):
    """Hyperbolic sensitivity that neither overflows nor loses small x to more than rounding of
    1.
    """
    return 1.0 - 2.0 / (tl.exp(2.0 * tl.minimum(x, 15.0)) + 1.0)  # 1 in float32 from 9 on


@triton.jit
def perceptron(
    n, normed, rows, valid, inner, inner_bias, outer, outer_bias, before, after,
    HIDDEN: constexpr, CHUNK: constexpr, PRECISION: constexpr,
):  # fmt: skip
    """Output rows ``(R, d)``; the hidden layer before and after gelu goes to memory.

    ``normed`` is where n has been stored; likewise ``stored`` below, of ``dout``.
    """
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
