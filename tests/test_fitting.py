"""Fits of curves whose parameters are known, and of the paper's published run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fitted_curves import ACCURACIES, TRUTH, made_by, noisy, ordered
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from tolerances import IMPROBABLE, RECOVERY, SAME_CURVE, STANDARD_ERRORS

from coopetition.curves.curve import Curve, Curves
from coopetition.errors import LogError
from coopetition.fitting import FitSettings, Parameter, fit, predict
from coopetition.logs import read_curves

TIGHT = {"starts": 8, "screened": 1024, "rtol": 1e-9, "atol": 1e-11, "max_evaluations": 200}
QUICK = {"starts": 4, "screened": 512}


@pytest.fixture(scope="module")
def published():
    (run,) = read_curves("published:main")
    return run


@settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    st.tuples(*(st.floats(-1.0, 1.0) for _ in range(4))),
    st.floats(1.2, 2.5),
    st.floats(2.5, 3.8),
)
def test_fit_recovers_what_integrate_made(
    shifts: tuple[float, ...], gain_icl: float, gain_ciwl: float
) -> None:
    moved = zip(("alpha", "mu1", "mu2", "n_d"), shifts, strict=True)
    truth = {
        **TRUTH,
        "gain_icl": gain_icl,
        "gain_ciwl": gain_ciwl,
        **{name: TRUTH[name] * 2.0 ** (0.7 * shift) for name, shift in moved},
    }
    result = fit(made_by(truth), **TIGHT)
    found = ordered(result.values)
    for name, value in truth.items():
        assert found[name] == pytest.approx(value, rel=RECOVERY), name
    assert result.null_directions == ()


def test_intervals_of_noisy_curves_hold_the_truth() -> None:
    sem = 0.01
    result = fit(noisy(made_by(TRUTH), sem, seed=3), **TIGHT, discrepancy=0.0)
    inner = [p for p in result.parameters if p.status == "determined"]
    assert {"mu1", "mu2", "alpha", "n_d", "gain_icl", "gain_ciwl"} <= {p.name for p in inner}
    for p in inner:
        sigma = (np.log(p.upper) - np.log(p.lower)) / 4
        miss = abs(np.log(p.value) - np.log(TRUTH[p.name]))
        assert miss < STANDARD_ERRORS * sigma, p.name
    problem = result.problem
    at_truth = problem.costs(problem.theta({**result.values, **TRUTH})[None, :])[0]
    assert 0 < at_truth - result.chi2 < chi2.isf(IMPROBABLE, len(result.free))
    for d in result.diagnostics:
        assert d.rmse == pytest.approx(sem, rel=0.3)
        assert d.runs_p > IMPROBABLE
    assert result.effective > 0.6 * result.count  # white residuals count almost in full


def test_fixed_parameters_stay_and_replaced_bounds_hold() -> None:
    curves = made_by(TRUTH)
    narrow = Parameter(name="mu2", value=0.02, lower=0.01, upper=0.05)
    result = fit(curves, fixed={"mu1": 0.5}, parameters=[narrow], **QUICK)
    assert result.parameter("mu1").value == 0.5
    assert result.parameter("mu1").status == "fixed"
    assert 0.01 <= result.parameter("mu2").value <= 0.05
    assert "mu1" not in result.free


def test_a_floor_of_zero_can_be_held() -> None:
    result = fit(made_by({**TRUTH, "mu2": 0.0}), fixed={"mu2": 0.0}, **TIGHT)
    assert result.parameter("mu2").value == 0.0
    assert ordered(result.values)["alpha"] == pytest.approx(TRUTH["alpha"], rel=RECOVERY)


def test_a_freed_symmetry_is_named_and_gets_no_interval() -> None:
    free = Parameter(name="n_b", value=20.0, lower=2.0, upper=200.0)
    result = fit(made_by(TRUTH), parameters=[free], **QUICK)
    assert any("no data can determine the scaling" in w for w in result.warnings)
    for name in ("n_b", "alpha", "sequences_per_time", "x_a", "x_b"):
        assert result.parameter(name).status == "undetermined", name
        assert result.parameter(name).lower is None
    for name in ("mu1", "mu2", "n_d", "gain_icl"):
        assert result.parameter(name).status == "determined", name


def test_a_parameter_whose_interval_ends_at_its_bounds_is_not_called_determined() -> None:
    result = fit(noisy(made_by(TRUTH), 0.01, seed=4), **QUICK)
    bounds = {p.name: (p.lower, p.upper) for p in result.declared if p.vary}
    seen = set()
    for p in (result.parameter(name) for name in result.free):
        ends = [
            end is not None and end == pytest.approx(bound, rel=RECOVERY)
            for end, bound in zip((p.lower, p.upper), bounds[p.name], strict=True)
        ]
        seen.add(p.status)
        assert not all(ends), p.name
        assert not any(ends) or p.status.startswith(("open", "at")), p.name
        if p.status.startswith("open"):
            assert any(p.name in note and "no limit" in note for note in result.warnings)
    assert "determined" in seen
    assert np.array_equal(
        np.isnan(np.diag(result.covariance)),
        [result.parameter(name).status == "undetermined" for name in result.free],
    )


def test_same_seed_same_fit() -> None:
    curves = made_by(TRUTH, points=30)
    one, two = (fit(curves, starts=3, screened=256, seed=5) for _ in range(2))
    assert one.values == two.values
    assert [s.cost for s in one.starts] == [s.cost for s in two.starts]


def test_published_main_run_is_fitted_as_well_as_stated(published: Curves) -> None:
    result = fit(published, starts=8, screened=2048)
    limits = {"train": 0.02, "icl": 0.05, "ciwl": 0.035, "flip": 0.04}
    assert {name: result.rmse[name] <= limit for name, limit in limits.items()} == dict.fromkeys(
        limits, True
    )
    assert len(result.free) == 11
    assert any("autocorrelated" in w for w in result.warnings)
    assert result.effective < 0.2 * result.count


@pytest.mark.slow
def test_separate_flip_gains_fit_the_main_run_better(published: Curves) -> None:
    result = fit(published, separate_flip=True)
    limits = {"train": 0.02, "icl": 0.035, "ciwl": 0.025, "flip": 0.03}
    assert all(result.rmse[name] <= limit for name, limit in limits.items())
    assert len(result.free) == 13


def test_losses_are_fitted_along_when_asked(published: Curves) -> None:
    result = fit(published, losses=True, starts=2, screened=512, points=60)
    assert {"icl/loss", "ciwl/loss", "train/loss"} <= set(result.rmse)
    assert {"loss_floor_icl", "loss_scale_train"} <= set(result.free)


def flat(level: float, points: int = 60) -> Curves:
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1e6, points)
    return Curves(
        run="flat",
        curves={
            (e, m): Curve(
                evaluator=e, metric=m, sequences=x, values=level + 0.007 * rng.normal(size=points)
            )
            for e, m in ACCURACIES
        },
    )


def test_logs_that_hold_nothing_to_fit_are_refused_with_the_reason() -> None:
    curves = made_by(TRUTH)
    with pytest.raises(LogError, match=r"flat .*train longer"):
        fit(flat(0.5), **QUICK)
    with pytest.raises(LogError, match=r"too short .* log more often"):
        fit(curves.until(2e6), **QUICK)
    renamed = {
        (f"my_{e}", m): dataclasses.replace(c, evaluator=f"my_{e}")
        for (e, m), c in curves.curves.items()
    }
    with pytest.raises(LogError, match=r"no curve that the model predicts.*--columns"):
        fit(dataclasses.replace(curves, curves=renamed), **QUICK)
    few = {key: curve for key, curve in curves.curves.items() if key[0] == "icl"}
    sparse = {k: c.take(np.arange(0, 80, 8)) for k, c in few.items()}
    with pytest.raises(LogError, match=r"10 usable points for .* free parameters"):
        fit(dataclasses.replace(curves, curves=sparse), **QUICK)


def test_a_head_start_only_shifts_the_fit() -> None:
    origin, curves = 3e7, made_by(TRUTH, points=33)  # whole numbers of sequences: no rounding
    moved = {
        key: dataclasses.replace(curve, sequences=curve.sequences + origin)
        for key, curve in curves.curves.items()
    }
    flip = moved["flip", "in_context_acc"]
    moved["flip", "in_context_acc"] = dataclasses.replace(  # what is not the run's own is left out
        flip, sequences=np.append(1e7, flip.sequences), values=np.append(0.1, flip.values)
    )
    began = {"start": f"ciwl_only at {origin:g}"}
    shifted = dataclasses.replace(curves, curves=moved, settings=began)
    one, other = (fit(c, starts=1, screened=64, max_evaluations=40) for c in (curves, shifted))
    assert other.measurements.origin == origin
    assert other.values == pytest.approx(one.values, rel=SAME_CURVE)
    near = predict(one, 2 * curves.last_sequence, draws=20)
    far = predict(other, origin + 2 * curves.last_sequence, draws=20)
    for key, curve in near.curves.curves.items():
        assert far.curves.curves[key].sequences == pytest.approx(curve.sequences + origin)
        assert far.curves.curves[key].values == pytest.approx(curve.values, abs=SAME_CURVE)
    with pytest.raises(ValueError, match="the run began at 30,000,000"):
        predict(other, origin)
    with pytest.raises(ValueError, match="the run began at 30,000,000"):
        other.predict(np.linspace(0.0, 1.1 * origin, 5))


def test_gaps_are_left_out_and_said() -> None:
    curves = made_by(TRUTH)
    icl = curves.curve("icl")
    values = np.array(icl.values)
    values[10:13] = np.nan
    holed = {**curves.curves, icl_key(): dataclasses.replace(icl, values=values)}
    result = fit(dataclasses.replace(curves, curves=holed), starts=2, screened=256)
    assert any("3 points that are no numbers" in w for w in result.warnings)
    assert result.count == 4 * 80 - 3


def icl_key() -> tuple[str, str]:
    return ("icl", "in_context_acc")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "copetition"}, "did you mean 'coopetition'"),
        ({"fixed": {"mu3": 1.0}}, "unknown parameter 'mu3'"),
        ({"begins": 3}, "unknown setting of a fit 'begins'"),
        ({"screened": 1000}, "power of 2"),
        ({"starts": 0}, "starts must be"),
        ({"keys": [("flop", "in_context_acc")]}, "flop/in_context_acc"),
    ],
)
def test_unfit_arguments_are_refused_before_work(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(made_by(TRUTH, points=20), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lower": 0.0}, "positive"),
        ({"lower": 2.0}, "lower <= value"),
        ({"upper": np.inf}, "finite bounds"),
        ({"value": np.nan}, "finite"),
        ({"scale": "cubic"}, "scale"),
    ],
)
def test_unfit_parameters_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameter(**{"name": "mu1", "value": 1.0, "lower": 0.1, "upper": 10.0, **changes})


def test_numbers_of_numpy_are_numbers() -> None:
    given = FitSettings(starts=np.int64(2), screened=np.uint16(64), seed=np.int32(3))
    assert dataclasses.asdict(given) == dataclasses.asdict(
        FitSettings(starts=2, screened=64, seed=3)
    )
    assert type(given.starts) is int
    for starts in (np.float64(2), np.True_, np.int64(0)):
        with pytest.raises(ValueError, match="starts must be a whole number of at least 1"):
            FitSettings(starts=starts)
