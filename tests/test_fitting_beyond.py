"""What follows a fit: profiles, comparison, prediction, posterior, files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from fitted_curves import TRUTH, made_by, noisy
from tolerances import SAME_CURVE

from coopetition.curves.landmarks import landmarks
from coopetition.dynamics.catalogue import get
from coopetition.errors import LogError
from coopetition.fitting import (
    Fit,
    Parameter,
    compare,
    fit,
    predict,
    profile,
    rank,
    read_fits,
    sample_posterior,
    write_fits,
)
from coopetition.fitting.multistart import bounded_least_squares, polish
from coopetition.fitting.posterior import posterior_draws
from coopetition.fitting.profiles import THRESHOLD

KNOWN = {name: TRUTH[name] for name in ("x_a", "x_b", "x_c", "x_d", "sequences_per_time")}
QUICK = {"starts": 4, "screened": 512, "discrepancy": 0.0}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    """Six free parameters, noise of known size: a well-posed problem."""
    return fit(noisy(made_by(TRUTH), 0.01, seed=1), fixed=KNOWN, **QUICK)


def test_a_profile_is_chi2_minimised_over_the_rest(fitted: Fit) -> None:
    found = profile(fitted, "mu1")
    assert found.verdict == "identifiable"
    assert found.lower < fitted.values["mu1"] < found.upper
    at = fitted.free.index("mu1")
    for end in (found.lower, found.upper):
        held = fitted.problem.holding("mu1", end)
        again = polish(held, np.delete(fitted.theta, at))
        assert (again.cost - fitted.chi2) / fitted.variance == pytest.approx(THRESHOLD, rel=0.2)


def test_profile_and_fisher_intervals_agree_where_the_data_are_good(fitted: Fit) -> None:
    for name in ("mu1", "gain_icl", "n_d"):
        found, stated = profile(fitted, name), fitted.parameter(name)
        for a, b in ((found.lower, stated.lower), (found.upper, stated.upper)):
            assert abs(np.log(a / stated.value)) == pytest.approx(
                abs(np.log(b / stated.value)), rel=0.3
            )


def test_profiles_say_what_cannot_be_identified() -> None:
    free = Parameter(name="n_b", value=20.0, lower=5.0, upper=80.0)
    scaled = {"n_c": 20.0, "mu1": TRUTH["mu1"], "mu2": TRUTH["mu2"], "gain_icl": 1.8}
    result = fit(made_by(TRUTH, points=40), parameters=[free], fixed=scaled, **QUICK | {
        "discrepancy": 0.02})  # fmt: skip
    # scaled so that the threshold is above the solver's rounding
    loose = dataclasses.replace(result, variance=1.0)
    assert profile(loose, "n_b", steps=6).verdict == "structurally non-identifiable"


def test_profile_of_a_held_or_unknown_parameter_is_refused(fitted: Fit) -> None:
    with pytest.raises(ValueError, match="unknown free parameter 'x_a'"):
        profile(fitted, "x_a")


def test_the_model_that_made_the_curves_is_preferred() -> None:
    curves = noisy(made_by(TRUTH), 0.005, seed=2)
    table = compare(curves, ["cooperation", "coopetition"], **QUICK)
    assert table.fits[0].model.name == "coopetition"
    assert table.rows[0].aicc < table.rows[1].aicc - 10
    assert sum(row.weight for row in table.rows) == pytest.approx(1.0)
    assert "coopetition" in table.summary()


def test_models_are_compared_on_curves_that_all_predict() -> None:
    table = compare(made_by(TRUTH, points=30), ["induction", "coopetition"], starts=2, screened=256)
    assert {f.measurements.keys for f in table.fits} == {(("icl", "in_context_acc"),)}
    assert any("flip/in_context_acc" in note for note in table.notes)


def test_fits_of_different_measurements_are_not_compared(fitted: Fit) -> None:
    other = fit(made_by(TRUTH, points=30, run="other"), starts=2, screened=256)
    with pytest.raises(ValueError, match=r"made .* and other .* cannot be compared"):
        rank([fitted, other])
    target = fitted.measurements.targets[0]
    for changed in (
        {"values": target.values + 0.01},
        {"sigma": 2 * target.sigma},
        {"at": target.at[::-1]},
    ):
        targets = (dataclasses.replace(target, **changed), *fitted.measurements.targets[1:])
        data = dataclasses.replace(fitted.measurements, targets=targets)
        with pytest.raises(ValueError, match="values or weights differ"):
            rank([fitted, dataclasses.replace(fitted, measurements=data)])
    assert [row.weight for row in rank([fitted, dataclasses.replace(fitted)]).rows] == [0.5, 0.5]
    with pytest.raises(ValueError, match="at least 2 fits"):
        rank([fitted])


def test_prediction_from_the_first_part_holds_the_rest() -> None:
    whole = made_by(TRUTH, points=120)
    end = whole.last_sequence
    result = fit(noisy(whole, 0.01, seed=5).until(0.6 * end), fixed=KNOWN, **QUICK)
    ahead = predict(result, end, draws=100)
    truth = whole.curve("flip")
    grid = ahead.curves.curve("flip").sequences
    low, high = (ends["flip", "in_context_acc"] for ends in (ahead.lower, ahead.upper))
    expected = np.interp(grid, truth.sequences, truth.values)
    inside = (expected > low - 0.01) & (expected < high + 0.01)
    assert np.mean(inside) > 0.9
    assert ahead.verdict_probability["transient"] > 0.95
    crossing = landmarks(whole, exact=True).crossover.value
    assert ahead.crossover.lower < crossing * 1.02
    assert ahead.crossover.upper > crossing * 0.98
    assert any("extrapolates" in note for note in ahead.notes)
    table = ahead.to_table()
    assert {"lower", "upper", "value", "sequences", "evaluator"} <= set(table.columns)
    assert (table["lower"] <= table["upper"]).all()


def test_icl_that_the_fit_shows_has_come_however_far_the_horizon(fitted: Fit) -> None:
    end = fitted.measurements.sequences[-1]
    for times in (1, 30):
        assert predict(fitted, times * end, draws=40).verdict_probability["never"] == 0.0


def test_futures_that_do_not_cross_count_as_beyond_the_horizon(fitted: Fit) -> None:
    ahead = predict(fitted, 0.1 * fitted.measurements.sequences[-1], draws=20)
    assert ahead.crossover.probability >= ahead.verdict_probability["transient"]
    assert (ahead.crossover.median is None) == (ahead.crossover.probability < 0.5)


@pytest.mark.parametrize("horizon", [0.0, -1.0, np.inf, np.nan])
def test_unfit_horizons_are_refused(fitted: Fit, horizon: float) -> None:
    with pytest.raises(ValueError, match="horizon must be a positive number"):
        predict(fitted, horizon)


def test_posterior_agrees_with_the_fisher_information(fitted: Fit) -> None:
    pytest.importorskip("emcee")
    found = sample_posterior(fitted, steps=400, seed=1)
    for name in ("mu1", "gain_icl", "gain_ciwl"):
        low, middle, high = found.quantiles(name)
        stated = fitted.parameter(name)
        spread = np.log(stated.upper / stated.lower)
        assert np.log(high / low) == pytest.approx(spread, rel=0.4)
        assert abs(np.log(middle / stated.value)) < 0.35 * spread
    with pytest.raises(ValueError, match="unknown free parameter"):
        found.quantiles("mu9")


def test_draws_agree_with_the_fisher_information(fitted: Fit) -> None:
    thetas, distinct = posterior_draws(fitted, 400, np.random.default_rng(0))
    spread = np.sqrt(np.diag(fitted.covariance))
    assert distinct > 0.8
    assert np.all(np.abs(thetas.mean(axis=0) - fitted.theta) < 0.3 * spread)
    assert thetas.std(axis=0) / spread == pytest.approx(1.0, rel=0.3)


def test_draws_keep_to_the_box_of_an_optimum_at_its_bound(fitted: Fit) -> None:
    at, best = fitted.free.index("mu1"), fitted.values["mu1"]
    declared = [
        dataclasses.replace(p, value=2 * best, lower=best, upper=10 * best)
        if p.name == "mu1"
        else p
        for p in fitted.declared
    ]
    cut = dataclasses.replace(fitted, declared=tuple(declared))
    away = posterior_draws(cut, 400, np.random.default_rng(1))[0][:, at] - fitted.theta[at]
    spread = np.sqrt(fitted.covariance[at, at])
    assert np.all(away >= -1e-12)
    assert np.mean(away) / spread == pytest.approx(np.sqrt(2 / np.pi), rel=0.3)  # half a normal


def test_least_squares_evaluates_residuals_and_derivatives_together() -> None:
    asked: list[bytes] = []

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(theta.tobytes())
        x, y = theta
        return (  # Rosenbrock's function
            np.array([10 * (y - x**2), 1 - x]),
            np.array([[-20 * x, 10.0], [-1.0, 0.0]]),
        )

    bounds = (np.array([-2.0, -2.0]), np.array([2.0, 2.0]))
    result = bounded_least_squares(
        evaluate, bounds[0], bounds, evaluations=100, ftol=1e-12, xtol=1e-12, gtol=1e-12
    )
    assert result.x == pytest.approx([1.0, 1.0], abs=1e-6)
    assert len(asked) == len(set(asked)) == result.nfev


def test_saving_and_loading_is_the_identity(fitted: Fit, tmp_path) -> None:
    path = write_fits(tmp_path / "fit.json", [fitted], settings={"until": None})
    (back,) = read_fits(path)
    for field in dataclasses.fields(Fit):
        if field.name in ("covariance", "measurements"):
            continue
        assert getattr(back, field.name) == getattr(fitted, field.name), field.name
    assert np.array_equal(back.covariance, fitted.covariance, equal_nan=True)
    assert np.array_equal(back.measurements.sequences, fitted.measurements.sequences)
    assert np.array_equal(
        back.measurements.targets[1].values, fitted.measurements.targets[1].values
    )
    assert back.aicc == fitted.aicc
    assert back.predict().curve("flip").values == pytest.approx(
        fitted.predict().curve("flip").values, abs=0
    )
    content = json.loads(path.read_text())
    assert {"version", "settings", "seed", "inputs"} <= set(content)


def test_files_that_hold_no_fits_are_refused(tmp_path) -> None:
    with pytest.raises(LogError, match="cannot read fits"):
        read_fits(tmp_path / "missing.json")
    for name, text, message in (
        ("text", "nothing", "damaged"),
        ("list", "[1, 2]", "damaged"),
        ("deep", '{"fits":' * 5000, "damaged"),
        ("other", '{"format": "coopetition map 1"}', "holds no fits"),
        ("half", '{"format": "coopetition fits 2", "fits": [{"run": "a"}]}', "damaged"),
    ):
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(LogError, match=f"{name}.json .*{message}.*fit again"):
            read_fits(tmp_path / f"{name}.json")


def test_fits_of_an_older_format_are_refused_with_what_made_them(tmp_path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"format": "coopetition fits 1", "version": "0.1.0", "fits": [{"run": "a"}]}')
    with pytest.raises(LogError, match=r"format 1, made by coopetition 0\.1\.0.*fit again"):
        read_fits(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("starts", 0, "theta"), [1.0]),
        (("covariance",), [[1.0]]),
        (("covariance",), {"a": 1}),
        (("measurements", "sequences"), [2.0, 1.0]),
        (("measurements", "targets", 0, "at"), [10**6] * 80),
        (("measurements", "targets", 0, "values"), "many"),
        (("declared", 0, "name"), "n_z"),
        (("model", "strategies"), 7),
        (("model", "dimensions", "a"), -3),
        (("settings", "starts"), -1),
        (("provenance",), None),
    ],
)
def test_a_damaged_fit_is_refused_in_one_line(fitted: Fit, tmp_path, place, value) -> None:
    path = write_fits(tmp_path / "fit.json", fitted)
    content = json.loads(path.read_text())
    part = content["fits"][0]["fit"]
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(LogError, match=r"fit\.json is damaged .*fit again") as refusal:
        read_fits(path)
    assert "\n" not in str(refusal.value)


def test_a_fit_is_saved_alone_and_with_what_json_has_no_word_for(fitted: Fit, tmp_path) -> None:
    place = tmp_path / "log.csv"
    data = dataclasses.replace(fitted.measurements, source={"path": place, "n": np.arange(2)})
    path = write_fits(tmp_path / "fit.json", dataclasses.replace(fitted, measurements=data))
    (again,) = read_fits(path)
    assert again.measurements.source == {"path": str(place), "n": [0, 1]}
    assert again.values == fitted.values


def test_predictions_are_the_same_one_by_one_and_from_the_start_on(fitted: Fit) -> None:
    grid = np.array([0.0, 1e6, 5e6])
    together = fitted.predict(grid).curve("flip").values
    alone = [fitted.predict(x).curve("flip").values[0] for x in grid]
    np.testing.assert_allclose(alone, together, atol=SAME_CURVE)
    at_start = fitted.strengths([0])
    np.testing.assert_allclose(at_start["icl"], fitted.strengths(grid)["icl"][:1], atol=SAME_CURVE)


@pytest.mark.parametrize("sequences", [[], [2e6, 1e6], [1e6, 1e6], [[1e6]], [np.nan], "soon"])
def test_what_is_no_list_of_sequences_is_refused(fitted: Fit, sequences: object) -> None:
    for verb in (fitted.predict, fitted.strengths):
        with pytest.raises(ValueError, match=r"sequences = .*: give at least one number"):
            verb(sequences)


@pytest.mark.parametrize("models", ["coopetition", ["coopetition"], get("coopetition"), []])
def test_a_comparison_of_less_than_two_models_is_refused_before_work(models) -> None:
    with pytest.raises(ValueError, match=r"at least 2 models, not [01]: give a list of them"):
        compare(made_by(TRUTH, points=30), models)
