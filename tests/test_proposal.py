"""Proposals: moves and their prices, candidates, ranking, reasons, boundary and experiments."""

import dataclasses
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.forecasting.result import WORTH_TELLING
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal import (
    Candidate,
    Move,
    Screened,
    boundary,
    candidates,
    default_moves,
    mechanism,
    most_informative,
    parse_move,
    propose,
    with_runs,
)
from coopetition.proposal.design import gains
from coopetition.proposal.mechanism import Mechanism, Shift
from coopetition.proposal.search import promising, rank

HORIZON = 2e7


@pytest.fixture(scope="module")
def base():
    (main,) = read_curves("published:main")
    return dict(main.settings)


@pytest.fixture(scope="module")
def found(base):
    match, classes = default_moves(base, ["match_probability", "n_classes"])
    return propose(
        base, default_map(), budget=HORIZON, moves=[match, classes], count=3, sure=0.7, looked_at=24
    )


MATCH = Move(setting="match_probability", lower=0.0, upper=1.0, unit=0.5)
CLASSES = Move(setting="n_classes", lower=100, upper=10_000, log=True, whole=True)


def test_moves_cost_distance_and_a_little_for_being_made():
    assert CLASSES.cost(800, 1600) == pytest.approx(1.1)
    assert CLASSES.cost(1600, 400) == pytest.approx(2.1)
    assert MATCH.cost(0.5, 0.5) == 0
    assert dataclasses.replace(MATCH, price=3.0).cost(0.0, 0.25) == pytest.approx(1.6)


@given(share=st.floats(0, 1))
def test_values_lie_in_the_range_with_few_digits(share):
    value = CLASSES.at(share)
    assert 100 <= value <= 10_000
    assert value == float(f"{value:.2g}")
    assert 0 <= MATCH.at(share) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("match_probability", (0.0, 1.0, False, 1.0)),
        ("match_probability=0:0.5@2", (0.0, 0.5, False, 2.0)),
        ("n_classes=log:800:3200", (800, 3200, True, 1.0)),
        ("n_classes@0.5", (400, 6400, True, 0.5)),
    ],
)
def test_moves_are_read(text, expected):
    move = parse_move(text, {"match_probability": 0.0, "n_classes": 1600})
    assert (move.lower, move.upper, move.log, move.price) == expected


def test_a_range_in_factors_is_paid_by_the_factor_of_2():
    move = parse_move("match_probability=log:0.125:1", {"match_probability": 0.25})
    assert move.cost(0.25, 1.0) == pytest.approx(CLASSES.cost(400, 1600))


@pytest.mark.parametrize(
    "text", ["n_classes=5", "n_classes=9:1", "n_classes=a:b", "spread", "x=1:2"]
)
def test_moves_that_cannot_be_read_are_refused(text):
    with pytest.raises(ValueError, match="move"):
        parse_move(text, {"n_classes": 1600})


def test_candidates_are_different_near_and_within_the_ranges():
    base = {"match_probability": 0.5, "n_classes": 1000}
    every = candidates(base, [MATCH, CLASSES], count=60)
    assert len(every) > 50
    keys = {tuple(sorted(one.changes.items())) for one in every}
    assert len(keys) == len(every)
    assert [one.cost for one in every] == sorted(one.cost for one in every)
    for one in every:
        assert one.changes
        for name, value in one.changes.items():
            assert value != base[name]
        assert one.settings(base) == {**base, **one.changes}
    assert any(len(one.changes) == 2 for one in every)
    assert every == candidates(base, [MATCH, CLASSES], count=60)


def test_nothing_may_move_is_refused(base):
    with pytest.raises(ValueError, match="no setting may move"):
        candidates(base, [])
    with pytest.raises(ValueError, match="n_clases"):
        candidates(base, [dataclasses.replace(CLASSES, setting="n_clases")])


def screened(cost, chance, *names):
    chances = {"persistent": chance, "transient": 1 - chance, "never": 0.0}
    changes = dict.fromkeys(names, 1.0)
    return Screened(candidate=Candidate(changes=changes, cost=cost), verdict_probability=chances)


def test_the_cheapest_of_the_sufficiently_probable_comes_first():
    dear, cheap, unsure = screened(3, 0.99, "a"), screened(1, 0.85, "b"), screened(0.5, 0.6, "c")
    order = sorted([dear, cheap, unsure], key=lambda s: rank(s.persistent, s.candidate, 0.8))
    assert order == [cheap, dear, unsure]


def test_other_settings_before_more_of_the_same():
    first, again, other = screened(1, 0.9, "a"), screened(2, 0.95, "a"), screened(3, 0.9, "b")
    assert promising([again, other, first], 0.8, 2) == [first, other]
    assert promising([again, other, first], 0.8, 3) == [first, other, again]


def test_no_candidate_is_looked_at_twice():
    every = [screened(cost, chance, "a") for cost, chance in ((1, 0.9), (2, 0.95), (3, 0.5))]
    assert promising(every, 0.8, 8) == every


def test_matching_exemplars_keeps_icl_in_the_papers_run(found, base):
    chances = found.base_forecast.verdict_probability
    assert chances["transient"] > 0.5
    assert "match_probability" in found.proposals[0].changes
    best = found.proposals[0]
    assert best.probability_persistent > chances["persistent"] + 0.3
    assert "mu1" in best.mechanism
    assert "lower" in best.mechanism
    assert best.settings["n_exemplars"] == base["n_exemplars"]


def test_the_frontier_rises_with_cost(found):
    front = found.frontier
    assert [s.candidate.cost for s in front] == sorted(s.candidate.cost for s in front)
    chances = [s.persistent for s in front]
    assert all(a < b for a, b in itertools.pairwise(chances))
    assert max(s.persistent for s in found.screened) == chances[-1]


def test_proposals_say_what_they_stand_on(found):
    text = found.summary()
    assert "proposal-01" in text
    assert found.provenance["seed"] == 0
    assert "main" in found.provenance["map"]["runs"]
    plain = found.proposals[0].as_dict("a.yaml")
    assert plain["settings"] == "a.yaml"
    assert set(plain) >= {"changes", "probability_persistent", "cost", "mechanism"}


def test_a_proposal_far_from_all_runs_says_so(base, found):
    assert all(one.notes == () for one in found.proposals)
    many = Move(setting="n_classes", lower=4_000_000, upper=8_000_000, log=True, whole=True)
    (far,) = propose(
        base, default_map(), budget=HORIZON, moves=[many], count=1, looked_at=2
    ).proposals
    assert any("classes: far from all runs" in note for note in far.notes)
    assert far.notes[0] in far.summary()
    assert far.as_dict()["notes"] == list(far.notes)


def test_the_theory_s_own_probability_is_told_where_it_differs(found):
    for one in found.proposals:
        alone = one.forecast.theory_probability["persistent"]
        told = "by the theory alone" in one.summary()
        assert told == (abs(alone - one.probability_persistent) >= WORTH_TELLING)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"budget": 0}, "budget"), ({"count": 0}, "count"), ({"sure": 1.0}, "sure")],
)
def test_wrong_arguments_are_refused_before_work(base, wrong, message):
    with pytest.raises(ValueError, match=message):
        propose(base, default_map(), **{"budget": HORIZON, **wrong})


def test_a_mechanism_without_a_change_moves_nothing(base):
    same = mechanism(default_map(), base, base, budget=HORIZON)
    assert same.shifts == ()
    assert same.flip_before == same.flip_after


def test_single_shifts_add_up_to_the_whole_where_there_is_one(base):
    matched = {**base, "match_probability": 1.0}
    found = mechanism(default_map(), base, matched, budget=HORIZON)
    assert found.shifts[0].parameter == "mu1"
    assert found.shifts[0].after < 0.1 * found.shifts[0].before
    assert found.flip_before < 0.5 < found.flip_after


def test_the_boundary_runs_between_never_matched_and_always(base):
    match, classes = default_moves(base, ["match_probability", "n_classes"])
    grid = boundary(base, default_map(), match, classes, budget=HORIZON, points=3)
    assert grid.persistent.shape == (3, 3)
    assert grid.persistent[-1, 1] > 0.5 > grid.persistent[0, 1]
    with pytest.raises(ValueError, match="two different"):
        boundary(base, default_map(), match, match, budget=HORIZON)


def test_a_run_teaches_and_a_second_like_it_teaches_less(base):
    (mq,) = read_curves("published:mq")
    without = default_map().without("mq")
    settings = {**base, "match_probability": 1.0}
    (first,) = gains(without, [settings], budget=HORIZON)
    (again,) = gains(with_runs(without, [mq]), [settings], budget=HORIZON)
    assert first > again > 0


def test_the_most_informative_is_the_best_of_those_looked_at(base):
    match, classes = default_moves(base, ["match_probability", "n_classes"])
    every = candidates(base, [match, classes], count=20)
    best = most_informative(base, every, default_map(), budget=HORIZON, count=3)
    taught = [gains(default_map(), [one.settings(base)], budget=HORIZON)[0] for one in every]
    assert [one.gain for one in best] == pytest.approx(sorted(taught, reverse=True)[:3])


class Asked:
    """A theory that notes how far it is asked."""

    def __init__(self, theory):
        self.theory, self.name, self.parameters = theory, theory.name, theory.parameters
        self.furthest = []

    def curves(self, thetas, times):
        self.furthest.append(times[-1])
        return self.theory.curves(thetas, times)

    def slopes(self, theta, times):
        self.furthest.append(times[-1])
        return self.theory.slopes(theta, times)


def test_what_a_run_would_teach_ends_with_the_run(base):
    start = 4e6
    asked = Asked(default_map().the_theory())
    settings_map = dataclasses.replace(default_map(), declared=asked)
    late = {**base, "start": f"ciwl_only at {start:g}"}
    alone = []
    for settings, length in ((late, HORIZON - start), (base, HORIZON)):
        asked.furthest.clear()
        alone += gains(settings_map, [settings], budget=HORIZON)
        assert max(asked.furthest) == length
    assert gains(settings_map, [late, base], budget=HORIZON) == pytest.approx(alone)
    with pytest.raises(ValueError, match="head start of 4,000,000"):
        gains(settings_map, [late], budget=start)


def test_every_parameter_of_the_papers_theory_is_told_in_words():
    for parameter in default_map().the_theory().parameters:
        shift = Shift(parameter=parameter.name, before=1.0, after=2.0, flip=1.0)
        said = Mechanism(flip_before=0.0, flip_after=1.0, shifts=(shift,), budget=HORIZON)
        words = said.in_words({"lr": (1.0, 2.0)})
        assert re.search(rf"raises {parameter.name}, the [^,]+, from 1", words)


def test_a_second_opinion_is_told_and_changes_nothing(found, base):
    match, classes = default_moves(base, ["match_probability", "n_classes"])
    asked = []

    def opinion(settings):
        asked.append(settings)
        return {"persistent": 0.25, "transient": 0.75, "never": 0.0}

    again = propose(
        base,
        default_map(),
        budget=HORIZON,
        moves=[match, classes],
        count=3,
        sure=0.7,
        looked_at=24,
        opinion=opinion,
    )
    assert [p.changes for p in again.proposals] == [p.changes for p in found.proposals]
    assert {p.second_opinion for p in again.proposals} == {0.25}
    assert {p.second_opinion for p in found.proposals} == {None}
    assert all(settings["horizon"] == HORIZON for settings in asked)
    assert "0.25" in again.proposals[0].summary()
