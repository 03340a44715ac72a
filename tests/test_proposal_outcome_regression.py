"""The baseline of proposals: verdicts regressed on settings."""

import numpy as np
import pytest

from coopetition.proposal import regress_outcomes


def runs(shares, **more):
    return [{"match_probability": float(share), **more} for share in shares]


def test_probabilities_sum_to_one_and_follow_the_data():
    shares = np.linspace(0, 1, 21)
    outcomes = ["never" if s < 0.3 else "transient" if s < 0.7 else "persistent" for s in shares]
    found = regress_outcomes(runs(shares), outcomes, width=20.0)
    for share, outcome in zip(shares, outcomes, strict=True):
        chances = found.predict({"match_probability": float(share)})
        assert sum(chances.values()) == pytest.approx(1)
        if min(abs(share - edge) for edge in (0.3, 0.7)) > 0.11:
            assert max(chances, key=chances.get) == outcome


def test_settings_that_do_not_differ_tell_nothing():
    found = regress_outcomes(
        runs([0.5] * 4, n_classes=800), ["never", "never", "never", "persistent"]
    )
    assert found.scaling.names == ()
    chances = found.predict({"match_probability": 1.0, "n_classes": 100})
    assert chances["never"] == pytest.approx(0.75, abs=0.05)
    assert chances["transient"] < 0.1


def test_weight_decay_is_told_apart_by_where_it_acts():
    base = {"weight_decay": 0.1, "weight_decay_kind": "decoupled"}
    settings = [
        {**base, "weight_decay_on": part} for part in ("attention", "embeddings") for _ in range(6)
    ]
    found = regress_outcomes(settings, ["never"] * 6 + ["persistent"] * 6)
    assert found.predict(settings[0])["never"] > 0.8
    assert found.predict(settings[-1])["persistent"] > 0.8


def test_a_later_horizon_counts():
    settings = [{"horizon": h} for h in (1e5, 1.1e5, 1.2e5, 8e5, 9e5, 1e6)]
    found = regress_outcomes(settings, ["persistent"] * 3 + ["transient"] * 3)
    assert found.predict({"horizon": 1e5})["persistent"] > 0.8
    assert found.predict({"horizon": 1e6})["transient"] > 0.8


def test_horizons_far_from_all_runs_are_not_known():
    settings = [{"horizon": h} for h in (2e5, 8e5, 1e6)]
    found = regress_outcomes(settings, ["never", "transient", "persistent"])
    assert [found.knows(h) for h in (5e2, 9e4, 1.1e5, 1.9e6, 3e6)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert regress_outcomes(runs([0.1, 0.9]), ["never", "never"]).knows(1.0)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="one verdict a run"):
        regress_outcomes(runs([0.1, 0.2]), ["never"])
    with pytest.raises(ValueError, match="persistent"):
        regress_outcomes(runs([0.1, 0.2]), ["never", "persistant"])
