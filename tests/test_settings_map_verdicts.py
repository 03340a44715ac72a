"""Verdict probabilities corrected on a map's own runs: the regression, what it learns, records."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import integrate, special

from coopetition.curves.verdicts import VERDICTS, verdict
from coopetition.forecasting.settings_map import (
    RunInformation,
    VerdictRecord,
    default_map,
    load_map,
    small_map,
)
from coopetition.forecasting.settings_map.cross_validation import SHARES, with_verdicts
from coopetition.forecasting.settings_map.logistic import POWER_WIDTH, fit_multinomial, softmax
from coopetition.forecasting.settings_map.storage import save_map
from coopetition.forecasting.settings_map.verdict_correction import WIDTHS, fit_correction
from coopetition.logs import published_runs, read_curves
from coopetition.proposal import with_runs
from coopetition.settings.covariates import COVARIATES

EVEN = dict.fromkeys(VERDICTS, 1 / 3)
GRADIENT = 1e-3  # of the posterior at what is called its maximum
LAPLACE = 0.05  # error of the log evidence with 60 observations
HORIZON = 2e7


def record(happened, predicted=EVEN, horizon=1e6):
    return VerdictRecord(horizon=horizon, verdict=happened, predicted=predicted)


def run(name, records, **values):
    return RunInformation(
        run=name,
        settings=dict.fromkeys((c.name for c in COVARIATES), 0.0) | values,
        kind="omniglot",
        until=1e6,
        optimum=np.zeros(1),
        information=np.eye(1),
        score=np.zeros(1),
        source={},
        verdicts=tuple(records),
    )


def test_the_fit_is_the_maximum_of_the_posterior():
    rng = np.random.default_rng(1)
    z = np.column_stack([rng.standard_normal((40, 2)), np.ones(40)])
    happened = np.eye(3)[rng.integers(0, 3, 40)]
    first = np.log(rng.dirichlet(np.ones(3), 40))
    tau, counts = np.array([0.5, 2.0, 1.0]), rng.uniform(0.3, 1.0, 40)
    found = fit_multinomial(z, happened, tau, log_first=first, counts=counts)

    def posterior(flat):
        weights, power = flat[:-1].reshape(3, 3), flat[-1]
        logits = special.log_softmax(z @ weights.T + power * first, axis=1)
        prior = -0.5 * np.sum((weights / tau) ** 2) - 0.5 * ((power - 1) / POWER_WIDTH) ** 2
        return counts @ np.sum(happened * logits, axis=1) + prior

    place, step = np.append(found.weights.ravel(), found.power), 1e-5
    slopes = [(posterior(place + d) - posterior(place - d)) / (2 * step) for d in step * np.eye(10)]
    np.testing.assert_allclose(slopes, 0.0, atol=GRADIENT)


def test_the_evidence_is_the_integral_over_the_prior():
    """Of the power alone: without covariates that vary, and a constant that is held at 0."""
    rng = np.random.default_rng(2)
    chances = rng.dirichlet(np.ones(3), 60)
    happened = np.array([rng.multinomial(1, p) for p in chances], dtype=float)
    tau = np.array([1e-4])
    found = fit_multinomial(np.ones((60, 1)), happened, tau, log_first=np.log(chances))

    def density(power):
        logits = special.log_softmax(power * np.log(chances), axis=1)
        prior = np.exp(-0.5 * ((power - 1) / POWER_WIDTH) ** 2) / (POWER_WIDTH * np.sqrt(2 * np.pi))
        return np.exp(np.sum(happened * logits)) * prior

    exact, _ = integrate.quad(density, -2.0, 4.0)
    assert found.log_evidence == pytest.approx(np.log(exact), abs=LAPLACE)


def test_where_the_map_is_right_more_often_than_it_says_it_is_told_more_surely():
    def cautious(happened):
        return {name: 0.6 if name == happened else 0.2 for name in VERDICTS}

    every = [run(f"{v}{i}", [record(v, cautious(v))]) for i in range(12) for v in VERDICTS]
    correction = fit_correction(every)
    assert correction.power > 1.5
    assert correction.correct(cautious("transient"), {}, 1e6)["transient"] > 0.75


def test_a_lean_that_goes_with_a_setting_is_learnt_of_many_runs_and_not_of_few():
    def of(count):
        half = [
            run(f"{name}{i}", [record(name)], matched_share=share)
            for i in range(count)
            for name, share in (("persistent", 1.0), ("never", 0.0))
        ]
        return fit_correction(half)

    few, many = of(1), of(40)
    assert few.width == min(WIDTHS)
    assert few.correct(EVEN, {"matched_share": 1.0}, 1e6)["persistent"] == pytest.approx(
        1 / 3, abs=0.05
    )
    chances = [many.correct(EVEN, {"matched_share": share}, 1e6) for share in (0.0, 1.0)]
    assert chances[1]["persistent"] > 0.9
    assert chances[0]["never"] > 0.9
    for one in chances:
        assert sum(one.values()) == pytest.approx(1.0)
        assert min(one.values()) > 0


def test_later_horizons_are_corrected_as_the_last_and_earlier_ones_less_and_less():
    runs = [
        run(f"{h}{i}", [record(name, horizon=h)])
        for i in range(20)
        for h, name in ((1e5, "persistent"), (1e6, "transient"))
    ]
    correction = fit_correction(runs)
    assert correction.horizons == (1e5, 1e6)
    assert correction.correct(EVEN, {}, 5e7) == correction.correct(EVEN, {}, 1e6)
    assert correction.correct(EVEN, {}, 1e5)["persistent"] > 0.7
    earlier = [correction.correct(EVEN, {}, h)["persistent"] for h in (1e5, 9e4, 7e4, 5.5e4)]
    assert all(one > other for one, other in itertools.pairwise(earlier))
    for before_anything_was_seen in (5e4, 1e3):
        assert correction.correct(EVEN, {}, before_anything_was_seen) == pytest.approx(EVEN)


def test_a_verdict_before_the_horizons_of_the_small_runs_is_the_theorys():
    correction = small_map().verdict_correction
    sure = {"persistent": 0.0, "transient": 0.01, "never": 0.99}
    for one in small_map().runs[::20]:
        found = correction.correct(sure, one.settings, 0.4 * correction.horizons[0])
        assert found["never"] == pytest.approx(0.99, abs=0.01)


def test_several_verdicts_of_a_run_are_not_as_many_runs():
    thrice = [run(f"r{i}", [record("persistent", horizon=h) for h in (1e5, 2e5, 4e5)])
              for i in range(5)]  # fmt: skip
    apart = [run(f"r{i}{h}", [record("persistent", horizon=h)]) for i in range(5)
             for h in (1e5, 2e5, 4e5)]  # fmt: skip
    together, separate = (
        fit_correction(r).correct(EVEN, {}, 2e5)["persistent"] for r in (thrice, apart)
    )
    assert 1 / 3 < together < separate


def test_without_records_nothing_is_corrected():
    bare = dataclasses.replace(
        default_map(),
        runs=tuple(dataclasses.replace(one, verdicts=()) for one in default_map().runs),
    )
    assert bare.verdict_correction is None
    chances = {"persistent": 0.2, "transient": 0.7, "never": 0.1}
    assert bare.corrected({}, chances, horizon=HORIZON) == chances


@pytest.mark.parametrize(
    ("settings_map", "prefix"), [(default_map, "published"), (small_map, "cpu")]
)
def test_the_shipped_maps_say_what_became_of_their_runs(settings_map, prefix):
    for one in settings_map().runs:
        (curves,) = read_curves(f"{prefix}:{one.run}")
        assert one.verdicts
        for seen in one.verdicts:
            assert seen.verdict == verdict(curves.until(seen.horizon))
            assert seen.horizon / one.until in SHARES
            assert sum(seen.predicted.values()) == pytest.approx(1.0)


def test_what_was_predicted_does_not_know_runs_of_the_same_settings():
    main, ts3 = (next(r for r in default_map().runs if r.run == name) for name in ("main", "ts3"))
    assert main.combination == ts3.combination
    assert [r.predicted for r in main.verdicts] == [r.predicted for r in ts3.verdicts]
    (curves,) = read_curves("published:main")
    siblings = [r.run for r in default_map().runs if r.combination == main.combination]
    strange = default_map().without(*(set(siblings) - {"main"}))
    again = with_verdicts(strange, {"main": curves})
    (found,) = (r for r in again.runs if r.run == "main")
    assert found.verdicts == main.verdicts  # the siblings had no part in it


def test_a_single_setting_leaves_nothing_to_predict_from():
    alone = default_map().without(*(r.run for r in default_map().runs if r.run != "mq"))
    bare = dataclasses.replace(
        alone, runs=tuple(dataclasses.replace(one, verdicts=()) for one in alone.runs)
    )
    assert with_verdicts(bare, {"mq": read_curves("published:mq")[0]}).verdict_correction is None


def test_a_log_without_flip_tells_no_verdict():
    (curves,) = read_curves("published:mq")
    kept = {key: curve for key, curve in curves.curves.items() if key[0] != "flip"}
    blind = dataclasses.replace(curves, curves=kept)
    again = with_verdicts(default_map(), {"mq": blind})
    assert next(r for r in again.runs if r.run == "mq").verdicts == ()
    assert [r.verdicts for r in again.runs if r.run != "mq"] == [
        r.verdicts for r in default_map().runs if r.run != "mq"
    ]


def test_a_new_run_brings_its_verdicts_and_changes_no_others():
    others = default_map().without("mq")
    again = with_runs(others, [read_curves("published:mq")[0]])
    new = next(r for r in again.runs if r.run == "mq")
    assert new.verdicts[-1].verdict == "persistent"
    before = {r.run: r.verdicts for r in others.runs}
    assert {r.run: r.verdicts for r in again.runs if r.run != "mq"} == before


def test_verdicts_survive_the_disk_and_older_files_hold_none(tmp_path):
    file = save_map(default_map(), tmp_path / "map.json")
    assert [r.verdicts for r in load_map(file).runs] == [r.verdicts for r in default_map().runs]
    text = file.read_text(encoding="utf-8").replace('"verdicts"', '"unheard_of"')
    file.write_text(text, encoding="utf-8")
    assert load_map(file).verdict_correction is None


def test_the_correction_leaves_out_what_the_map_leaves_out():
    names = [r.run for r in default_map().runs]
    assert set(published_runs()) >= set(names)
    without = default_map().without(*names[:8])
    assert without.verdict_correction.power != default_map().verdict_correction.power


def test_softmax_of_large_numbers_is_finite():
    np.testing.assert_allclose(softmax(np.array([1e4, 0.0, -1e4])), [1.0, 0.0, 0.0])
