"""Proposals beside their base: what it reaches by itself, and what its log shows."""

import pytest

from coopetition.knobs import default_map
from coopetition.landmarks import verdict
from coopetition.logs import read_curves
from coopetition.proposal import BaseLog, Move, default_moves, propose
from coopetition.proposal.base_log import base_log

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
