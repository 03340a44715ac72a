"""A model's equations as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from ..errors import unknown_name
from .model import Model
from .reduction import ReducedODE, reduce

FORMS = ("loss", "ode", "jacobian", "conserved")
_NONE = "no conserved quantity of the form sum g_v n_v |v|^2"


def equations_of(model: Model, *, form: str | None = None, latex: bool = False) -> str:
    """The equations of a model, one a line.

    ``form`` is one of `FORMS`, or None for all; ``latex`` writes each as an ``align*`` environment.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> print(equations_of(get("induction"), form="conserved"))
    constant = -n_a*(x_a**2 + y_a**2) + n_b*(x_b**2 + y_b**2)
    constant = -n_a*(x_a**2 + y_a**2) + n_c*(x_c**2 + y_c**2)
    """
    if form is not None and form not in FORMS:
        raise unknown_name("form", form, FORMS)
    ode = reduce(model)
    blocks = []
    for name in FORMS if form is None else (form,):
        lines = list(_lines(ode, name))
        if not latex:
            body = "\n".join(f"{left} = {sp.sstr(right)}" for left, _, right in lines) or _NONE
            blocks.append(body if form else f"# {name}\n{body}")
        elif lines:
            rows = (f"  {left} &= {sp.latex(right)}" for _, left, right in lines)
            blocks.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
        else:
            blocks.append(f"% {_NONE}")
    return "\n\n".join(blocks)


def _lines(ode: ReducedODE, form: str) -> Iterable[tuple[str, str, sp.Expr]]:
    """Left side as text and as LaTeX, and right side, of each equation of a form."""
    if form == "loss":
        yield "L", "L", sp.sympify(ode.loss)
        for name, expression in ode.outputs.items():
            if name != "total":
                yield name, rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}", expression
    elif form == "ode":
        for symbol, slope in zip(ode.state, ode.rhs, strict=True):
            yield f"d{symbol.name}/dt", rf"\frac{{d {sp.latex(symbol)}}}{{dt}}", slope
    elif form == "jacobian":
        for i, row in enumerate(ode.state):
            for j, column in enumerate(ode.state):
                text = f"d(d{row.name}/dt)/d{column.name}"
                top, bottom = sp.latex(row), sp.latex(column)
                left = rf"\frac{{\partial \dot{{{top}}}}}{{\partial {bottom}}}"
                yield text, left, ode.jacobian[i, j]
    else:
        for quantity in ode.conserved:
            yield "constant", r"\mathrm{const}", quantity
