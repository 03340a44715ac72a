import dataclasses
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.model import Cost, Model, Strategy
from coopetition.dynamics.readout import Readout
from coopetition.errors import ModelError
from coopetition.fitting.parameters import model_parameters

GOOD = {
    "name": "pair",
    "strategies": (Strategy("icl", ("a", "b"), floor="mu"), Strategy("ciwl", ("c", "b"))),
    "dimensions": {"a": 10, "b": 20, "c": 30},
    "costs": (Cost(("a", "c"), weight="alpha"),),
    "parameters": {"mu": 0.1, "alpha": 0.2},
}

ICL = Strategy("icl", ("a", "b"), floor="mu")
CIWL = Strategy("ciwl", ("c", "b"))

CONTRADICTIONS = {
    "unknown factor in a strategy": (
        {"strategies": (ICL, Strategy("ciwl", ("c", "bb")))},
        "unknown factor 'bb'.*did you mean 'b'",
    ),
    "unknown factor in a cost": ({"costs": (Cost(("a", "q"), weight="alpha"),)}, "factor 'q'"),
    "unknown factor in decay": (
        {"decay": {"z": "rate"}, "parameters": {"mu": 0.1, "alpha": 0.2, "rate": 0.1}},
        "factor 'z'",
    ),
    "dimension 0": ({"dimensions": {"a": 0, "b": 20, "c": 30}}, "'a' must be an integer.*not 0"),
    "negative dimension": ({"dimensions": {"a": 1, "b": -2, "c": 3}}, "vector 'b'.*not -2"),
    "fractional dimension": ({"dimensions": {"a": 1.5, "b": 2, "c": 3}}, "vector 'a'.*not 1.5"),
    "true as dimension": ({"dimensions": {"a": True, "b": 2, "c": 3}}, "vector 'a'.*not True"),
    "idle vector": ({"dimensions": {"a": 1, "b": 2, "c": 3, "e": 4}}, "vector 'e'.*no strategy"),
    "no strategy": ({"strategies": (), "dimensions": {}, "costs": ()}, "no strategy"),
    "same strategy twice": (
        {"strategies": (ICL, Strategy("icl", ("c", "b")))},
        "strategy 'icl' is declared twice",
    ),
    "reserved strategy name": (
        {"strategies": (ICL, Strategy("total", ("c", "b")))},
        "cannot be called 'total'",
    ),
    "strategy named as another's strength": (
        {"strategies": (ICL, Strategy("icl_strength", ("c", "b")))},
        "cannot be called 'icl_strength'",
    ),
    "strategy name with a space": (
        {"strategies": (ICL, Strategy("in weights", ("c", "b")))},
        "not 'in weights'",
    ),
    "factor twice": ({"strategies": (ICL, Strategy("ciwl", ("c", "c")))}, r"\('c', 'c'\)"),
    "no factors": ({"strategies": (ICL, CIWL, Strategy("iwl", ()))}, r"factors \(\)"),
    "no default": ({"parameters": {"alpha": 0.1}}, "parameter 'mu'.*no default"),
    "negative rate": ({"parameters": {"mu": -0.1, "alpha": 0.1}}, "'mu'.*at least 0, not -0.1"),
    "infinite rate": ({"parameters": {"mu": float("inf"), "alpha": 0.1}}, "'mu'.*finite"),
    "text as rate": ({"parameters": {"mu": "0.1", "alpha": 0.1}}, "'mu'.*not '0.1'"),
    "unused parameter": (
        {"parameters": {"mu": 0.1, "alpha": 0.1, "beta": 1.0}},
        "'beta'.*used by no term",
    ),
    "parameter named as a derived symbol": (
        {"strategies": (dataclasses.replace(ICL, floor="x_a"), CIWL),
         "parameters": {"x_a": 0.1, "alpha": 0.1}},
        "'x_a' collides",
    ),
    "parameter named as the step size": (
        {"strategies": (dataclasses.replace(ICL, floor="eta"), CIWL),
         "parameters": {"eta": 0.1, "alpha": 0.1}},
        "'eta' collides",
    ),
    "keyword as parameter": (
        {"strategies": (dataclasses.replace(ICL, floor="lambda"), CIWL),
         "parameters": {"lambda": 0.1, "alpha": 0.1}},
        "not 'lambda'",
    ),
    "name of two words": ({"name": "two words"}, "not 'two words'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_declaration_that_contradicts_itself_is_refused_by_name(case):
    change, message = CONTRADICTIONS[case]
    with pytest.raises(ModelError, match=message):
        Model(**{**GOOD, **change})


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Readout)])
def test_a_parameter_cannot_be_called_what_the_readout_has(name):
    strategies = (dataclasses.replace(ICL, floor=name), CIWL)
    with pytest.raises(ModelError, match=f"'{name}' collides with one of the readout.*rename"):
        Model(**{**GOOD, "strategies": strategies, "parameters": {name: 0.1, "alpha": 0.1}})


def test_every_other_parameter_of_a_fit_is_the_model_s_own():
    model = Model(**GOOD)
    fitted = {p.name for p in model_parameters(model, 1e6)}
    derived = {f"{kind}_{v}" for v in model.vectors for kind in "nSxy"}
    readout = {field.name for field in dataclasses.fields(Readout)}
    assert fitted - readout == derived | set(model.parameters)


def test_a_good_declaration_is_accepted_and_cannot_be_changed():
    model = Model(**GOOD)
    assert model.vectors == ("a", "b", "c")
    assert model.strategy_names == ("icl", "ciwl")
    with pytest.raises(TypeError):
        model.parameters["mu"] = 0.3
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "other"


def test_later_changes_of_the_given_dictionaries_do_not_reach_the_model():
    parameters = {"mu": 0.1, "alpha": 0.2}
    model = Model(**{**GOOD, "parameters": parameters})
    parameters["mu"] = -1.0
    assert model.parameters["mu"] == 0.1


def test_the_fingerprint_is_of_the_equations_and_of_nothing_else():
    model = Model(**GOOD)
    same = [{"name": "other"}, {"dimensions": {"a": 5, "b": 5, "c": 5}}, {"description": "words"}]
    same.append({"parameters": {"mu": 7.0, "alpha": 0.0}})
    for change in same:
        assert Model(**{**GOOD, **change}).fingerprint == model.fingerprint
    others = [
        {"costs": (Cost(("a", "b"), weight="alpha"),)},
        {"dimensions": {"b": 20, "a": 10, "c": 30}},
        {"strategies": (ICL, dataclasses.replace(CIWL, floor="mu"))},
        {"decay": {"a": "mu"}},
    ]
    for change in others:
        assert Model(**{**GOOD, **change}).fingerprint != model.fingerprint


def test_the_catalogue_names_its_models_and_the_nearest_to_a_wrong_name():
    assert set(CATALOGUE) >= {
        "coopetition", "induction", "independent", "cooperation", "decay", "three-strategies",
    }  # fmt: skip
    for name, model in CATALOGUE.items():
        assert get(name) is model
        assert model.name == name
        assert model.description
        assert model.reference
    with pytest.raises(ValueError, match="did you mean 'coopetition'"):
        get("copetition")


def test_the_papers_model_has_the_papers_settings():
    model = get("coopetition")
    assert dict(model.dimensions) == {"a": 20, "b": 20, "c": 20, "d": 160}
    assert dict(model.parameters) == {"alpha": 0.1, "mu1": 0.1, "mu2": 0.0}


def test_the_example_declares_a_model_and_shows_what_follows(capsys):
    example = Path(__file__).parents[1] / "examples" / "declare_a_model.py"
    runpy.run_path(str(example), run_name="__main__")
    said = capsys.readouterr().out
    assert said.startswith("loss = alpha*(x_a**2 + y_a**2)*(x_d**2 + y_d**2)/2 + ")
    assert said.count("/dt = ") == 8
    assert "reached the horizon at time 16000" in said
    assert "ICL peaks at 0.76, at time 32" in said


def test_numbers_of_numpy_are_numbers():
    given = Model(
        **{
            **GOOD,
            "dimensions": {name: np.int64(size) for name, size in GOOD["dimensions"].items()},
            "parameters": {"mu": np.float32(0.5), "alpha": np.int64(1)},
        }
    )
    plain = Model(**{**GOOD, "parameters": {"mu": 0.5, "alpha": 1}})
    assert given == plain
    assert json.loads(json.dumps(dict(given.dimensions))) == GOOD["dimensions"]
    for size in (np.float64(3), np.True_, np.int64(0), np.array(3)):
        with pytest.raises(ModelError, match="must be an integer of at least 1"):
            Model(**{**GOOD, "dimensions": {"a": size, "b": 20, "c": 30}})
