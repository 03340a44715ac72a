"""Verdicts of runs and of many paths, and which is the most probable."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from forecast_problems import run_of
from hypothesis import given
from hypothesis import strategies as st

from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import (
    most_probable,
    verdict,
    verdict_of,
    verdict_probabilities,
)
from coopetition.forecasting import Forecast
from coopetition.logs import read_curves
from coopetition.proposal.proposals_folder import StoredPrediction


def made(flip):
    """A run that a model made, so that its verdict is read off as it stands."""
    curves = run_of({"flip": flip}, np.arange(len(flip), dtype=float))
    return dataclasses.replace(curves, source={"model": "by hand"})


@pytest.mark.parametrize(
    ("flip", "horizon", "expected"),
    [
        ([0.5, 0.59, 0.2], None, "never"),
        ([0.5, 0.6, 0.4], None, "transient"),
        ([0.5, 0.6, 0.4], 1, "persistent"),
        ([0.5, 0.9, 0.5], None, "persistent"),
        ([0.5, 0.5, 0.9], 0.9, "never"),
        ([0.5, 0.7, 0.3, 0.8], None, "persistent"),
        ([0.5, 0.5, 0.7], 1.6, "persistent"),
    ],
)
def test_verdicts(flip, horizon, expected):
    assert verdict(made(flip), horizon) == expected
    if horizon is None:
        assert verdict_of(landmarks(made(flip))) == expected


def test_a_horizon_outside_the_data_is_refused():
    run = made([0.5, 0.7, 0.8])
    assert verdict(run, 3) == "persistent"  # within one interval of the last point
    for horizon in (3.1, 1e9, -1):
        with pytest.raises(ValueError, match=r"covers 0 to 2 sequences.*forecast"):
            verdict(run, horizon)
    with pytest.raises(ValueError, match="2 points of flip accuracy"):
        verdict(made([0.5]))


AT_2E7 = {
    "never": ("sinpe", "c1600_ex20", "c1600_ex5", "depth1", "ciwl_only", "init_from_ciwl_only_8M"),
    "persistent": ("mq", "mlp_c12800_ex5"),
    "transient": ("main", "ts3", "ts4", "is6", "c12800_ex5", "mlp", "init_from_ciwl_only_4M"),
}


@pytest.mark.parametrize(
    ("expected", "name"), [(v, name) for v, names in AT_2E7.items() for name in names]
)
def test_published_verdicts_at_2e7(expected, name):
    (run,) = read_curves(f"published:{name}")
    assert verdict(run, 2e7) == expected


def test_probabilities_are_shares_of_the_paths() -> None:
    flip = np.array(
        [[0.5, 0.7, 0.6, 0.4], [0.5, 0.7, 0.8, 0.9], [0.5, 0.55, 0.5, 0.5], [0.5, 0.6, 0.4, 0.2]]
    )
    assert verdict_probabilities(flip) == {"persistent": 0.25, "transient": 0.5, "never": 0.25}


@given(st.permutations(["persistent", "transient", "never"]), st.integers(0, 4), st.integers(0, 4))
def test_the_most_probable_verdict_is_one_whatever_the_order(names, first, second):
    chances = {"persistent": first / 8, "transient": second / 8, "never": 1 - (first + second) / 8}
    found = most_probable({name: chances[name] for name in names})
    assert found == most_probable(chances)
    assert chances[found] == max(chances.values())
    assert found == "never" or chances[found] > chances["never"]


def test_predictions_and_forecasts_agree_on_the_most_probable_verdict():
    for prediction in (Forecast, StoredPrediction):
        tie = SimpleNamespace(
            verdict_probability={"persistent": 0.5, "transient": 0.0, "never": 0.5}
        )
        assert prediction.verdict.fget(tie) == "never"
