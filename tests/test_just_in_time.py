"""Compiled loops, with and without a place on disk for them."""

import numba
import numpy as np
import pytest

from coopetition import arrays
from coopetition.dynamics.solver import stepping
from coopetition.fitting import residuals as noise
from coopetition.train.compute.cpu import attention_kernels, kernels


@pytest.fixture
def asked(monkeypatch):
    """What numba is asked to cache, where it has no place to: neither package nor home."""
    found = []
    real = numba.njit

    def njit(*functions, cache=False, **options):
        found.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*functions, **options)

    monkeypatch.setattr(numba, "njit", njit)
    return found


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: stepping.compiled_loops.__wrapped__().advance, 6),
        (noise._deviance.__wrapped__, 1),
        (lambda: kernels.compiled(kernels.clear_rows.py_func), 1),
        (lambda: attention_kernels.attention_kernels.__wrapped__(4)[1], 2),
    ],
)
def test_loops_are_compiled_also_where_numba_finds_no_folder_for_its_cache(asked, make, count):
    made = make()
    assert asked == [True, False] * count
    assert isinstance(made, numba.core.dispatcher.Dispatcher)


def test_what_is_compiled_does_what_it_did(asked):
    def total(values: np.ndarray) -> float:
        found = 0.0
        for value in values:
            found += value
        return found

    values = np.arange(5.0)
    made = arrays.jit(total)
    arrays.compile_for(made, (values,))
    ready = list(made.signatures)
    assert len(ready) == 1
    assert made(values) == total(values) == 10.0
    arrays.compile_for(made, (values,))
    arrays.compile_for(total, (values,))  # a plain function stays one
    assert made.signatures == ready
