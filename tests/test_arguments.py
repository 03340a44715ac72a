"""What an integration is given is checked before work begins, and named where it is unfit."""

import dataclasses

import numpy as np
import pytest
from problems import (
    POLE,
)

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate, integrate_many
from coopetition.dynamics.starts import random_start
from coopetition.seeds import stream

PAPER = get("coopetition")


def start_of(model, seed=0):
    return random_start(model, stream(seed, "tests"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "rk4"}, "unknown method 'rk4'"),
        ({"rtol": 0.0}, "rtol must lie in .*not 0.0"),
        ({"rtol": float("nan")}, "rtol must lie"),
        ({"atol": -1.0}, "atol must be positive, not -1.0"),
        ({"max_steps": 0}, "max_steps must be at least 1, not 0"),
        ({"until": 0.0}, "until must be a positive time, not 0.0"),
        ({"until": float("inf")}, "until must be a positive time, not inf"),
        ({"stop_below": 0.0}, "stop_below must be a positive loss, not 0.0"),
        ({"times": []}, "times must be a list of at least one"),
        ({"times": [3.0, 2.0]}, r"times must increase within \[0, 16000\]"),
        ({"times": [-1.0]}, "times must increase"),
        ({"times": [17000.0]}, "times must increase"),
        ({"times": [float("nan")]}, "times must increase"),
        ({"form": "backward"}, "unknown form 'backward'"),
        ({"parameters": {"mu": 0.1}}, "unknown parameter of coopetition 'mu'.*did you mean 'mu"),
        ({"parameters": {"mu1": -0.1}}, "mu1 must be at least 0, not -0.1"),
        ({"parameters": {"mu1": float("nan")}}, "mu1 must be finite, not nan"),
        ({"parameters": {"mu1": "much"}}, "mu1 must be a number, not 'much'"),
        ({"parameters": {"n_a": 0.0}}, "n_a must be positive, not 0.0"),
        ({"parameters": {"S_b": -1.0}}, "S_b must be positive, not -1.0"),
        ({"parameters": {"mu1": [0.1, 0.2]}}, "mu1 must be a number; integrate_many takes arrays"),
        ({"parameters": {"eta": 1.0}}, "unknown parameter of coopetition 'eta'"),
        ({"start": [0.1, 0.2]}, r"start of coopetition must have 8 numbers \(x_a, y_a"),
        ({"start": np.full(8, np.nan)}, "start must be finite"),
        ({"start": np.zeros((2, 8))}, "single state"),
        ({"start": start_of(get("induction"))}, "8 numbers.*not shape"),
        (
            {"start": start_of(get("independent"))},
            "start has the vectors a, b, c, d, e, f, not",
        ),
    ],
)
def test_a_bad_argument_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        integrate(PAPER, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"parameters": {"mu1": [0.1, 0.2], "alpha": [0.1] * 3}}, "alpha: 3, mu1: 2"),
        ({"parameters": {"mu1": [[0.1]]}}, "mu1 must be a number or one-dimensional"),
        ({"parameters": {"mu1": [0.1, -0.2]}}, r"mu1 must be at least 0, not -0\.2$"),
        ({"parameters": {"mu1": [0.1, np.nan]}}, "mu1 must be finite, not nan$"),
        ({"parameters": {"n_a": np.linspace(5.0, 0.0, 1000)}}, r"n_a must be positive, not 0\.0$"),
        (
            {"parameters": {"mu1": [0.1, 0.2]}, "starts": np.zeros((3, 8))},
            "2 parameter sets and 3 starts",
        ),
        ({"starts": [start_of(get("induction"))]}, "8 numbers.*not shape"),
    ],
)
def test_a_bad_argument_of_a_batch_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        integrate_many(PAPER, **change)


def test_a_start_of_the_same_vectors_in_another_order_is_refused():
    turned = dataclasses.replace(PAPER, dimensions=dict(reversed(list(PAPER.dimensions.items()))))
    with pytest.raises(ValueError, match="start has the vectors d, c, b, a"):
        integrate(PAPER, start=start_of(turned))


def test_a_system_of_ones_own_needs_a_start():
    with pytest.raises(ValueError, match="start is needed: pole"):
        integrate(POLE, until=1.0)
