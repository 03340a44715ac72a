"""LayerNorm of a tile of rows and its gradient."""

import triton
import triton.language as tl

NORM_EPS = tl.constexpr(1e-5)


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
    """Gradient of x from that of y; the rows' share of weight and bias goes to memory.

    ``dy`` must be 0 in rows that do not count.
    """
    width: tl.constexpr = x.shape[1]
    columns = tl.arange(0, width)
    unit, inverse = unit_rows(x)
    tl.store(dweight + columns, tl.sum(dy * unit, axis=0))
    tl.store(dbias + columns, tl.sum(dy, axis=0))
    dunit = dy * tl.load(weight + columns)[None, :]
    along = tl.sum(dunit * unit, axis=1)[:, None] / width
    plain = tl.sum(dunit, axis=1)[:, None] / width
    return inverse[:, None] * (dunit - plain - unit * along)
