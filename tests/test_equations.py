"""Equations for reading: as text that sympy reads back, and as LaTeX."""

from __future__ import annotations

import pytest
import sympy as sp

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.equations import FORMS, equations_of
from coopetition.dynamics.reduction import reduce


def test_the_printed_equations_are_the_derived_ones() -> None:
    ode = reduce(get("coopetition"))
    names = {symbol.name: symbol for symbol in (*ode.state, *ode.parameters)}
    lines = equations_of(get("coopetition"), form="ode").splitlines()
    for line, symbol, slope in zip(lines, ode.state, ode.rhs, strict=True):
        left, _, right = line.partition(" = ")
        assert left == f"d{symbol.name}/dt"
        assert sp.simplify(sp.sympify(right, locals=names) - slope) == 0


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_model_prints_in_every_form(name: str) -> None:
    for form in ("loss", "ode", "conserved"):
        assert equations_of(get(name), form=form)
    latex = equations_of(get(name), form="loss", latex=True)
    assert latex.startswith(r"\begin{align*}")
    assert latex.count("{") == latex.count("}")


def test_the_paper_model_conserves_the_difference_of_its_shared_circuits() -> None:
    assert equations_of(get("coopetition"), form="conserved") == (
        "constant = -n_b*(x_b**2 + y_b**2) + n_c*(x_c**2 + y_c**2)"
    )


def test_a_model_without_conserved_quantity_says_so() -> None:
    assert "no conserved quantity" in equations_of(get("decay"), form="conserved")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown form 'odes': did you mean 'ode'"):
        equations_of(get("coopetition"), form="odes")
    assert set(FORMS) == {"loss", "ode", "jacobian", "conserved"}
