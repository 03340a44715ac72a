"""Phase diagrams: the same verdicts as single trajectories, and what is known of the model."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tolerances import LOCATED

from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import VERDICTS, verdict
from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.events import landmarks_of
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.observation import observe
from coopetition.dynamics.phase import MEASURES, parse_axis, phase, sample_times
from coopetition.dynamics.readout import Reading, Readout
from coopetition.dynamics.starts import random_start
from coopetition.report.figures import phase_figure
from coopetition.seeds import stream

PHASE = importlib.import_module("coopetition.dynamics.phase")  # the function has its name too
SAMPLING = 100.0  # model time between the diagram's samples: how closely it can place an event
SAME_PEAK = 0.005  # flip accuracy that a peak may keep from samples a fiftieth of its time apart


def test_the_texts_of_an_axis() -> None:
    assert parse_axis("0.1,0.3").tolist() == [0.1, 0.3]
    assert parse_axis("lin:0:1:3").tolist() == [0.0, 0.5, 1.0]
    assert parse_axis("log:1e-2:1:3") == pytest.approx([0.01, 0.1, 1.0])


@pytest.mark.parametrize("text", ["", "lin:0:1", "lin:0:1:1", "a,b", "log:1:inf:3"])
def test_unreadable_axes_say_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"use a number, a list .*, lin:.* or log:"):
        parse_axis(text)


def test_an_axis_without_logarithms_or_with_too_many_points_says_so() -> None:
    with pytest.raises(ValueError, match=r"0 in 'log:0:1:16' has no logarithm.*lin:0:1:16"):
        parse_axis("log:0:1:16")
    with pytest.raises(ValueError, match="too many"):
        parse_axis("lin:0:1:100000000000")


def test_a_grid_that_does_not_fit_is_refused_before_it_is_made() -> None:
    axis = np.linspace(0.0, 1.0, 100_000)
    with pytest.raises(ValueError, match=r"10,000,000,000 points \(alpha: 100,000 x mu1"):
        phase(get("coopetition"), {"alpha": axis, "mu1": axis})


def test_a_point_of_the_diagram_is_the_single_trajectory() -> None:
    model = get("coopetition")
    values = np.array([0.001, 0.1])
    result = phase(model, {"mu1": values}, starts=1, until=16_000.0)
    for k, mu1 in enumerate(values):
        start = random_start(model, stream(0, "start/0"))
        marks = landmarks_of(integrate(model, parameters={"mu1": mu1}, start=start))
        assert marks is not None
        assert marks.emergence is not None
        assert abs(result.measures["emergence"][k] - marks.emergence.value) < SAMPLING
        lasts = marks.crossover is None
        assert result.measures["persistent"][k] == float(lasts)
        assert result.measures["transient"][k] == float(not lasts)
        if marks.crossover is not None:
            assert abs(result.measures["crossover"][k] - marks.crossover.value) < SAMPLING


@given(
    name=st.sampled_from(
        [name for name, model in CATALOGUE.items() if "ciwl" in model.strategy_names]
    ),
    data=st.data(),
    seed=st.integers(0, 999),
    until=st.floats(200.0, 20_000.0),
    gains=st.tuples(st.floats(0.5, 6.0), st.floats(0.5, 6.0)),
)
@settings(max_examples=40, deadline=None)
def test_a_point_of_the_diagram_has_the_landmarks_of_its_trajectory(
    name, data, seed, until, gains
) -> None:
    model, readout = get(name), Readout(gain_icl=gains[0], gain_ciwl=gains[1])
    parameters = {
        parameter: data.draw(st.floats(0.0, 0.01 if "decay" in parameter else 1.0))
        for parameter in model.parameters
    }
    axes = {parameter: np.array([value]) for parameter, value in parameters.items()}
    steps = {"rtol": 1e-6, "max_steps": 50_000}
    point = phase(model, axes, starts=1, until=until, seed=seed, readout=readout, **steps)
    assume(not point.failed.item())
    trajectory = integrate(
        model,
        parameters=parameters,
        start=random_start(model, stream(seed, "start/0")),
        until=until,
        times=sample_times(model, until),
        method="dopri5",
        **steps,
    )
    curves = observe(trajectory, readout)
    marks, expected = landmarks(curves), verdict(curves)
    for mark in ("emergence", "crossover", "vanishing"):
        value = point.measures[mark].item()
        assert value == pytest.approx(getattr(getattr(marks, mark), "value", np.inf), rel=LOCATED)
    highest = np.max(curves.curve("flip").values)
    assert point.measures["peak_flip"].item() == pytest.approx(highest, rel=LOCATED)
    assert [name for name in VERDICTS if point.measures[name].item()] == [expected]


def test_a_flip_that_comes_down_to_one_half_and_stays_has_not_crossed(monkeypatch) -> None:
    """Nor has icl vanished that was never there, whatever the curves' model."""
    model, flip = get("coopetition"), np.array([[0.5, 0.7, 0.7, 0.5]])
    readings = {"flip": flip, "icl": np.full_like(flip, 0.5)}
    monkeypatch.setattr(PHASE, "sample_times", lambda model, until: np.arange(0.0, 40.0, 10.0))
    monkeypatch.setattr(
        PHASE,
        "read",
        lambda key, *_: Reading(value=readings[key[0]], by_output={}, by_parameter={}),
    )
    point = phase(model, {"mu1": np.array([0.1])}, starts=1, until=30.0)
    assert point.measures["emergence"].item() == pytest.approx(5.0)
    assert np.isinf([point.measures[name].item() for name in ("crossover", "vanishing")]).all()
    assert point.measures["persistent"].item() == 1.0


def test_a_higher_floor_of_icl_shortens_its_life() -> None:
    """Lifetimes fall with mu1 (arXiv 2503.05631, section 6): every quantile of them does."""
    result = phase(get("coopetition"), {"mu1": np.array([0.03, 0.1, 0.3])}, starts=8)
    vanishing = result.measures["vanishing"]
    assert vanishing[0] > vanishing[1] > vanishing[2]


@pytest.mark.parametrize("far", [64_000.0, 256_000.0, 1e6, 1e7])
def test_what_was_seen_early_is_seen_at_any_horizon(far: float) -> None:
    """ICL that has gone by 16,000 has come and gone, and been as high, whatever comes later."""
    model, axes = get("coopetition"), {"mu1": np.array([0.1, 0.2])}
    near, later = (phase(model, axes, starts=8, until=until) for until in (16_000.0, far))
    assert not later.failed.any()
    assert np.all(later.measures["never"] <= near.measures["never"])
    assert np.all(later.measures["transient"] >= near.measures["transient"])
    for name in ("emergence", "crossover", "vanishing"):
        assert later.measures[name] == pytest.approx(near.measures[name], abs=SAMPLING)
    assert later.measures["peak_flip"] == pytest.approx(near.measures["peak_flip"], abs=SAME_PEAK)


def test_shares_add_up_and_the_table_is_long() -> None:
    axes = {"alpha": np.array([0.03, 0.3]), "mu1": np.array([0.01, 0.1, 0.5])}
    result = phase(get("coopetition"), axes, starts=4, until=8000.0)
    shares = sum(result.measures[name] for name in ("persistent", "transient", "never"))
    assert shares == pytest.approx(np.ones((2, 3)))
    assert not result.failed.any()
    columns = result.columns()
    assert list(columns) == ["alpha", "mu1", *MEASURES, "failed"]
    assert {len(values) for values in columns.values()} == {6}
    assert columns["mu1"].tolist() == [0.01, 0.1, 0.5] * 2


def test_failed_trajectories_are_counted_and_count_in_nothing_else() -> None:
    result = phase(get("coopetition"), {"mu1": np.array([0.1, 0.2])}, starts=2, max_steps=3)
    assert result.failed.tolist() == [1.0, 1.0]
    assert np.isnan(result.measures["persistent"]).all()
    assert "failed" in result.summary()


def test_unfit_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'mu1'"):
        phase(get("coopetition"), {"mu_1": np.array([0.1, 0.2])})
    with pytest.raises(ValueError, match="no strategies icl and ciwl"):
        phase(get("induction"), {"n_a": np.array([10.0, 20.0])})
    with pytest.raises(ValueError, match="at least one axis"):
        phase(get("coopetition"), {})
    with pytest.raises(ValueError, match="until must be a positive time, not 0"):
        phase(get("coopetition"), {"mu1": np.array([0.1, 0.2])}, until=0.0)


def test_panels_over_one_axis_share_its_range_and_label_no_more_than_there_is_room_for() -> None:
    for axis in (np.geomspace(1e-3, 1.0, 5), np.geomspace(0.03, 0.2, 5)):
        figure = phase_figure(phase(get("coopetition"), {"mu1": axis}, starts=2))
        figure.draw_without_rendering()
        ranges = np.array([ax.get_xlim() for ax in figure.axes])
        assert ranges == pytest.approx(np.tile(ranges[0], (3, 1)))
        assert ranges[0, 0] <= axis[0] < axis[-1] <= ranges[0, 1]
        for ax in figure.axes:
            low, high = ax.get_xlim()
            texts = [
                tick.label1.get_window_extent()
                for tick in (*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks())
                if tick.label1.get_text() and low <= tick.get_loc() <= high
            ]
            spans = sorted((box.x0, box.x1) for box in texts)
            assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
