"""The small runs that ship with the package."""

import re

import numpy as np
import pytest

from coopetition.curves.verdicts import verdict
from coopetition.errors import LogError
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.settings_map import map_for, small_map
from coopetition.logs import read_curves, small_runs


def test_there_are_enough_settings_and_all_outcomes():
    runs = [read_curves(f"cpu:{name}")[0] for name in small_runs()]
    keys = ("n_classes", "n_exemplars", "spread", "match_probability", "lr", "weight_decay")
    assert len({tuple(run.settings[key] for key in keys) for run in runs}) >= 24
    assert {verdict(run) for run in runs} == {"persistent", "transient", "never"}


@pytest.mark.parametrize("name", small_runs())
def test_every_run_can_be_read_whole(name):
    (run,) = read_curves(f"cpu:{name}")
    assert run.run == name
    assert len(run.source["sha256"]) == 64
    assert set(run.evaluators) == {"train", "icl", "ciwl", "flip"}
    assert run.settings["data_kind"] == "gaussian"
    for curve in run:
        assert curve.sequences[0] == 0
        assert len(curve) > 8
        assert np.all((curve.values >= 0) & (curve.values <= 1))
        p, n = curve.values, curve.n
        np.testing.assert_allclose(curve.sem, np.sqrt(np.maximum(p * (1 - p), 1e-3) / n), rtol=0.02)


def test_names_tell_their_settings():
    """Names of the sweep's runs tell what differs from its base, the oldest all settings."""
    told = {"c": "n_classes", "e": "n_exemplars", "s": "spread", "m": "match_probability"}
    told |= {"lr": "lr", "wd": "weight_decay", "b": "batch_size", "seed": "seed", "seed=": "seed"}
    for name in small_runs():
        if re.match(r"(fresh|round4)-", name):  # these have numbers, not settings, for names
            continue
        settings = read_curves(f"cpu:{name}")[0].settings
        for part in re.split("[_-](?=[a-z])", name):
            short, value = re.fullmatch(r"([a-z]+=?)(.*?)(?:all)?", part).groups()
            if short in told:
                assert settings[told[short]] == float(value), name
            else:
                assert part in ("base", settings["weight_decay_on"])


def test_unknown_names_are_refused_with_the_nearest():
    name = small_runs()[0]
    with pytest.raises(ValueError, match="did you mean") as refused:
        read_curves(f"cpu:{name}x")
    assert f"… {len(small_runs())} in all" in str(refused.value)  # not a screenful
    with pytest.raises(ValueError, match="columns"):
        read_curves(f"cpu:{name}", columns="flip=a")
    with pytest.raises(LogError):
        read_curves("cpu-transient")


def test_the_map_of_small_runs_is_of_these_runs():
    known = small_map()
    assert {run.run for run in known.runs} | set(known.excluded) <= set(small_runs())
    assert len(known.runs) >= 24
    assert map_for({"data_kind": "gaussian"}) is known
    assert map_for({}) is not known


def test_matching_lowers_mu1():
    matching, spread = small_map().effect("matching", "mu1")
    assert matching > 2 * spread  # the covariate falls with the share that is matched


def test_more_classes_are_memorised_later():
    """Which of n_d and the rate says so, runs cannot tell; that CIWL comes later, they can."""
    settings = dict(read_curves("cpu:base_seed=0")[0].settings)
    few, many = (
        forecast_settings({**settings, "n_classes": n}, small_map(), horizon=4e5, draws=400)
        for n in (2400, 8000)
    )
    middle = len(few.sequences) // 2
    assert few.bands["ciwl"].median[middle] > many.bands["ciwl"].median[middle] + 0.05
