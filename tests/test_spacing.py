"""Times that resolve a beginning and reach a far end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.arrays import graded_grid

ROUNDING = 1e-9  # relative


@given(st.floats(1e-3, 1e12), st.floats(1e-3, 1e12), st.integers(1, 300))
def test_times_rise_from_nothing_to_the_end_by_growing_steps(end, bend, steps):
    times = graded_grid(end, bend, steps)
    assert times.shape == (steps + 1,)
    assert times[0] == 0.0
    assert times[-1] == end
    gaps = np.diff(times)
    assert np.all(gaps > 0)
    assert np.all(gaps[1:] >= gaps[:-1] * (1 - ROUNDING * end / gaps[:-1]))


def test_steps_are_equal_before_the_bend_and_in_proportion_after_it():
    before, after = np.diff(graded_grid(1.0, 1e4, 50)), graded_grid(1e12, 1.0, 50)
    np.testing.assert_allclose(before, before[0], rtol=1e-6)
    np.testing.assert_allclose(after[20:] / after[19:-1], after[-1] / after[-2], rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_what_is_no_length_is_refused(bad):
    with pytest.raises(ValueError, match=r"end = .*must be a positive number"):
        graded_grid(bad, 1.0, 3)
    with pytest.raises(ValueError, match=r"bend = .*must be a positive number"):
        graded_grid(1.0, bad, 3)
