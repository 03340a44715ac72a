"""Plots show what they are given, on the axes they are given, and touch nothing else."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from fitted_curves import TRUTH, made_by
from matplotlib.collections import QuadMesh
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.descent import descend
from coopetition.dynamics.integration import integrate
from coopetition.fitting import Fit, fit, predict, profile
from coopetition.forecasting import forecast
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal import Boundary, Move, boundary, default_moves, propose
from coopetition.report.figures import (
    fit_figure,
    plot_boundary,
    plot_curves,
    plot_fit,
    plot_forecast,
    plot_frontier,
    plot_losses,
    plot_phase,
    plot_profile,
    plot_residuals,
    plot_waterfall,
)
from coopetition.report.figures.style import COLOURS

BUDGET = 2e7


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(made_by(TRUTH, points=40), starts=3, screened=256)


def test_fit_over_data_shows_measured_points_and_fitted_lines(fitted: Fit) -> None:
    ax = plot_fit(fitted, linewidth=2.5)
    assert len(ax.lines) == 2 * len(fitted.measurements.targets) + 1  # and the line of chance
    for target in fitted.measurements.targets:
        name = target.key[0]
        (line,) = [line for line in ax.lines if line.get_label().startswith(f"{name} (rmse")]
        assert same_color(line.get_color(), COLOURS[name])
        assert line.get_linewidth() == 2.5
        assert line.get_ydata() == pytest.approx(fitted.predict().curves[target.key].values)
    assert "million" in ax.get_xlabel()


def test_of_a_long_descent_no_more_is_drawn_than_shows() -> None:
    descended = descend(get("induction"), step_size=0.1, until=6000.0)
    ax = plot_losses(descended)
    for line in ax.lines:
        x = line.get_xdata()
        assert len(x) < len(descended.times) / 2
        assert (x[0], x[-1]) == (descended.times[0], descended.times[-1])
    (total,) = [line for line in ax.lines if line.get_label() == "total"]
    at = np.searchsorted(descended.times, total.get_xdata())
    assert total.get_ydata() == pytest.approx(descended.output("total")[at])


def test_the_legend_of_a_fit_covers_neither_data_nor_title(fitted: Fit) -> None:
    figure = fit_figure(fitted)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    legend = ax.get_legend().get_window_extent()
    inside = ax.get_window_extent()
    assert legend.y0 >= inside.y1 or legend.x0 >= inside.x1
    assert not legend.overlaps(ax.title.get_window_extent())
    assert {text.get_text().split()[0] for text in ax.get_legend().get_texts()} == {
        key[0] for key in fitted.measurements.keys
    }


def test_a_prediction_adds_its_bands(fitted: Fit) -> None:
    end = fitted.measurements.sequences[-1]
    prediction = predict(fitted, 1.5 * end, draws=20)
    ax = plot_fit(fitted, prediction=prediction)
    assert len(ax.collections) == len(prediction.lower) == 4
    assert ax.get_xlim()[1] > 1.4 * end / 1e6


def test_residuals_are_measured_minus_fitted(fitted: Fit) -> None:
    ax = plot_residuals(fitted)
    target = fitted.measurements.targets[0]
    (line,) = [line for line in ax.lines if line.get_label() == target.key[0]]
    expected = target.values - fitted.predict().curves[target.key].values[target.at]
    assert line.get_ydata() == pytest.approx(expected)


def test_waterfall_and_profile(fitted: Fit) -> None:
    figure = Figure()
    ax = figure.subplots()
    assert plot_waterfall(fitted, ax=ax) is ax
    heights = ax.lines[0].get_ydata()
    assert len(heights) == len(fitted.starts)
    assert heights[0] == 1.0
    assert np.all(np.diff(heights) >= 0)
    profiled = profile(fitted, "gain_icl")
    drawn = plot_profile(profiled)
    assert drawn.lines[0].get_xdata() == pytest.approx(profiled.values)
    assert drawn.get_title() == profiled.verdict
    assert "gain_icl" in drawn.get_xlabel()


def test_phase_of_strengths_of_fits_and_trajectories(fitted: Fit) -> None:
    trajectory = integrate(get("coopetition"), until=500.0, compiled=False)
    ax = plot_phase([fitted, trajectory])
    ends = [line.get_xdata()[-1] for line in ax.lines]
    assert trajectory.output("ciwl_strength")[-1] in ends
    assert "CIWL" in ax.get_xlabel()
    alone = integrate(get("induction"), until=50.0, compiled=False)
    with pytest.raises(ValueError, match="no phase of icl and ciwl"):
        plot_phase(alone)


def test_curves_of_one_metric() -> None:
    curves = made_by(TRUTH, points=10)
    ax = plot_curves(curves)
    assert {line.get_label() for line in ax.lines} >= {"train", "icl", "ciwl", "flip"}
    with pytest.raises(ValueError, match="no curve of metric 'loss'"):
        plot_curves(curves, metric="loss")


def test_figures_are_drawn_and_style_is_left_alone(fitted: Fit, tmp_path) -> None:
    before = dict(mpl.rcParams)
    figure = fit_figure(fitted)
    figure.savefig(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 10_000
    assert dict(mpl.rcParams) == before


def test_a_population_s_forecast_takes_the_place_of_the_log_s_own() -> None:
    (main,) = read_curves("published:main")
    cut, horizon = 5e6, 2e7
    part = main.until(cut)
    own = fit(part, starts=2, screened=128)
    ahead = forecast(part, default_map(), horizon=horizon, draws=200)
    ax = plot_fit(own, prediction=predict(own, horizon), forecast=ahead)
    ahead_of = [line for line in ax.lines if len(line.get_xdata()) > 2]
    dashed = [line for line in ahead_of if line.get_linestyle() == "--"]
    assert len(dashed) == 4
    for line in dashed:
        assert line.get_xdata()[0] >= cut / 1e6
        assert line.get_xdata()[-1] == pytest.approx(horizon / 1e6)
    flip = next(line for line in dashed if line.get_color() == "tab:red")
    assert flip.get_ydata()[-1] == pytest.approx(ahead.bands["flip"].median[-1])
    assert "from other runs" in ax.get_title()


def test_importing_plots_loads_no_matplotlib() -> None:
    code = "import sys, coopetition.report.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- proposals -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base():
    (main,) = read_curves("published:main")
    return dict(main.settings)


@pytest.fixture(scope="module")
def moves(base):
    return default_moves(base, ["match_probability", "n_classes"])


@pytest.fixture(scope="module")
def proposed(base, moves):
    return propose(base, default_map(), budget=BUDGET, moves=moves, count=2, looked_at=12)


def legend_of(ax):
    """What the legend names."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_frontier_is_drawn_through_its_points(proposed):
    ax = plot_frontier(proposed)
    (line,) = [line for line in ax.lines if line.get_label() == "frontier"]
    np.testing.assert_allclose(line.get_xdata(), [one.candidate.cost for one in proposed.frontier])
    np.testing.assert_allclose(line.get_ydata(), [one.persistent for one in proposed.frontier])
    (stars,) = [line for line in ax.lines if line.get_marker() == "*"]
    chances = [one.probability_persistent for one in proposed.proposals]
    np.testing.assert_allclose(stars.get_ydata(), chances)
    assert stars.get_label() in legend_of(ax)
    assert "cost" in ax.get_xlabel()


def test_the_boundary_shows_probabilities_and_the_base(base, moves):
    over = boundary(base, default_map(), *moves, budget=BUDGET, points=3)
    ax = plot_boundary(over)
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.ravel(mesh.get_array()), over.persistent.T.ravel())
    (star,) = [line for line in ax.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0.0, 12800.0)
    assert star.get_label() in legend_of(ax)
    assert ax.get_yscale() == "log"
    assert ax.get_xscale() == "linear"


@pytest.mark.parametrize("points", [3, 13])
def test_labels_of_a_boundary_stay_apart(points):
    values = np.geomspace(3200.0, 51200.0, points)
    log = Move(setting="n_classes", lower=3200, upper=51200, log=True)
    over = Boundary(
        first=log,
        second=dataclasses.replace(log, setting="n_exemplars"),
        first_values=values,
        second_values=values,
        persistent=np.outer(values, values) / values[-1] ** 2,
        base=(12800.0, 12800.0),
        budget=BUDGET,
    )
    ax = plot_boundary(over)
    ax.figure.draw_without_rendering()
    for axis in (ax.xaxis, ax.yaxis):
        assert not any(label.get_text() for label in axis.get_minorticklabels())
        boxes = [label.get_window_extent() for label in axis.get_majorticklabels()]
        assert len(boxes) >= 3
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_a_forecast_is_drawn_on_the_axes_it_is_given(proposed):
    given = Figure().subplots()
    told = proposed.proposals[0].forecast
    assert plot_forecast(told, ax=given) is given
    lines = {line.get_label(): line for line in given.lines}
    for evaluator, band in told.bands.items():
        np.testing.assert_allclose(lines[evaluator].get_ydata(), band.median)
    assert len(given.collections) == len(told.bands)


def test_a_forecast_is_drawn_beside_what_came():
    (main,) = read_curves("published:main")
    cut = 5e6
    ahead = forecast(main, default_map(), until=cut, horizon=BUDGET, draws=200)
    ax = plot_forecast(ahead, measured=main)
    points = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert len(points) == len(ahead.bands)
    flip = main.until(BUDGET).curve("flip")
    assert any(np.array_equal(line.get_ydata(), flip.values) for line in points)
    (end,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert end.get_xdata()[0] == pytest.approx(cut / 1e6)
