"""Moves: what a setting may become, and from where it cannot move."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal import Move, candidates, default_moves, parse_move, propose
from coopetition.settings.names import settings_of_ours, with_short_names
from coopetition.settings.training import TrainingSettings
from coopetition.settings.yaml_files import as_plain


@pytest.mark.parametrize("name", ["match_probability", "weight_decay", "label_noise"])
def test_no_factor_leads_away_from_a_base_of_0(name):
    base = {name: 0.0}
    with pytest.raises(ValueError, match="without log"):
        parse_move(f"{name}=log:0.01:0.4", base)
    move = Move(setting=name, lower=0.01, upper=0.4, log=True)
    with pytest.raises(ValueError, match="without log"):
        candidates(base, [move])
    assert parse_move(f"{name}=log:0.01:0.4", {name: 0.1}).log


@given(lower=st.floats(0.6, 50), ratio=st.floats(1.1, 30), log=st.booleans(), share=st.floats(0, 1))
def test_whole_numbers_stay_whole_at_the_ends_of_a_range(lower, ratio, log, share):
    move = {"lower": lower, "upper": lower * ratio, "log": log, "whole": True}
    if math.ceil(lower) > math.floor(lower * ratio):
        with pytest.raises(ValueError, match="holds no whole number"):
            Move(setting="n_exemplars", **move)
        return
    value = Move(setting="n_exemplars", **move).at(share)
    assert value.is_integer()
    assert lower <= value <= lower * ratio


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("text", ["width", "width=20:300", "width=log:20:300"])
def test_widths_that_are_proposed_can_be_trained(positions, text):
    full = TrainingSettings(network={"width": 64, "heads": 8, "positions": positions})
    base = settings_of_ours(as_plain(full))
    move = parse_move(text, base)
    found = candidates(base, [move])
    assert len(found) > 3
    for one in found:
        assert with_short_names(full, one.changes).network.width == one.changes["width"]


def test_where_nothing_is_sure_the_moves_that_the_map_has_seen_are_named():
    base = read_curves("published:main")[0].settings
    moves = default_moves(base, ["n_classes"])
    near = propose(base, default_map(), budget=2e7, moves=moves, count=1, sure=0.999, looked_at=8)
    (remedy,) = [note for note in near.notes if "allow more moves" in note]
    assert "match_probability" in remedy
    assert "mlp_ratio" in remedy
    assert "spread" not in remedy
    assert "label_noise" not in remedy
