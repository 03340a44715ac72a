"""Proposals beside their base: what it reaches by itself, and what its log shows."""

import pytest

from coopetition.curves.verdicts import verdict
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.settings_map import default_map, map_for
from coopetition.logs import read_curves
from coopetition.proposal import BaseLog, Move, default_moves, propose
from coopetition.proposal.base import base_log
from coopetition.settings.names import settings_of_ours
from coopetition.settings.presets import preset
from coopetition.settings.yaml_files import as_plain

HORIZON = 2e7


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_only_what_is_better_than_the_base_is_proposed(share):
    (main,) = read_curves("published:main")
    start, sure = {**main.settings, "match_probability": share}, 0.6
    moves = default_moves(start, ["match_probability", "n_exemplars"])
    found = propose(start, default_map(), budget=HORIZON, moves=moves, sure=sure, looked_at=12)
    before = found.base_forecast.verdict_probability["persistent"]
    assert all(one.probability_persistent > before for one in found.proposals)
    assert found.base_suffices == (before >= sure)
    assert ("nothing needs changing" in found.summary()) == found.base_suffices
    assert ("likelier to be persistent than the base" in found.summary()) != any(found.proposals)


def test_what_the_log_of_the_base_shows_is_said():
    (run,) = read_curves("published:ts3")
    base, move = dict(run.settings), Move(setting="n_classes", lower=6400, upper=25600, log=True)
    found = propose(
        base, default_map(), budget=HORIZON, moves=[move], log=run, count=1, looked_at=2
    )
    assert found.base_log == BaseLog(
        run="ts3", verdict=verdict(run), sequences=run.curve("flip").sequences[-1]
    )
    assert found.base_log.summary() in found.summary()
    assert found.base_as_dict()["log"]["verdict"] == "transient"
    begun = run.until(run.curve("flip").sequences[0])
    assert base_log(begun) is None


def test_settings_of_our_trainer_are_the_same_base_as_their_short_names():
    full = preset("cpu-transient")
    short, settings_map = settings_of_ours(as_plain(full)), map_for(full)
    assert settings_map is map_for(short)
    assert default_moves(full) == default_moves(short)
    one, other = (
        forecast_settings(s, settings_map, horizon=8e5, draws=100).verdict_probability
        for s in (full, short)
    )
    assert one == other
    move = Move(setting="match_probability", lower=0.0, upper=1.0)
    one, other = (
        propose(s, settings_map, budget=8e5, moves=[move], looked_at=2, count=1)
        for s in (full, short)
    )
    assert one.base == other.base
    assert [p.changes for p in one.proposals] == [p.changes for p in other.proposals]


@pytest.mark.parametrize("wrong", [3, "cpu-transient", read_curves("published:ts3")[0]])
def test_what_are_no_settings_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^settings = .*Curves\.settings"):
        propose(wrong, default_map(), budget=8e5)
    with pytest.raises(ValueError, match=r"^settings = .*Curves\.settings"):
        forecast_settings(wrong, default_map(), horizon=8e5)
