"""Pictures of proposals show the numbers they are given."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from coopetition.forecasting import forecast
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal import Boundary, Move, boundary, default_moves, propose
from coopetition.report.figures import plot_boundary, plot_forecast, plot_frontier

BUDGET = 2e7


@pytest.fixture(scope="module")
def base():
    (main,) = read_curves("published:main")
    return dict(main.settings)


@pytest.fixture(scope="module")
def moves(base):
    return default_moves(base, ["match_probability", "n_classes"])


@pytest.fixture(scope="module")
def found(base, moves):
    return propose(base, default_map(), budget=BUDGET, moves=moves, count=2, looked_at=12)


def told(ax):
    """What the legend names."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_frontier_is_drawn_through_its_points(found):
    ax = plot_frontier(found)
    (line,) = [line for line in ax.lines if line.get_label() == "frontier"]
    np.testing.assert_allclose(line.get_xdata(), [one.candidate.cost for one in found.frontier])
    np.testing.assert_allclose(line.get_ydata(), [one.persistent for one in found.frontier])
    (stars,) = [line for line in ax.lines if line.get_marker() == "*"]
    chances = [one.probability_persistent for one in found.proposals]
    np.testing.assert_allclose(stars.get_ydata(), chances)
    assert stars.get_label() in told(ax)
    assert "cost" in ax.get_xlabel()


def test_the_boundary_shows_probabilities_and_the_base(base, moves):
    over = boundary(base, default_map(), *moves, budget=BUDGET, points=3)
    ax = plot_boundary(over)
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.ravel(mesh.get_array()), over.persistent.T.ravel())
    (star,) = [line for line in ax.lines if line.get_marker() == "*"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0.0, 12800.0)
    assert star.get_label() in told(ax)
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


def test_a_forecast_is_drawn_on_the_axes_it_is_given(found):
    from matplotlib.figure import Figure

    given = Figure().subplots()
    forecast = found.proposals[0].forecast
    assert plot_forecast(forecast, ax=given) is given
    lines = {line.get_label(): line for line in given.lines}
    for evaluator, band in forecast.bands.items():
        np.testing.assert_allclose(lines[evaluator].get_ydata(), band.median)
    assert len(given.collections) == len(forecast.bands)


def test_a_forecast_is_drawn_beside_what_came():
    (main,) = read_curves("published:main")
    cut = 5e6
    told = forecast(main, default_map(), until=cut, horizon=BUDGET, draws=200)
    ax = plot_forecast(told, measured=main)
    points = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert len(points) == len(told.bands)
    flip = main.until(BUDGET).curve("flip")
    assert any(np.array_equal(line.get_ydata(), flip.values) for line in points)
    (end,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert end.get_xdata()[0] == pytest.approx(cut / 1e6)
