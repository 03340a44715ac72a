"""A model's equations, for reading: as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy as sp

from ..errors import unknown_name
from .model import Model
from .reduction import ReducedODE, reduce

FORMS = ("loss", "ode", "jacobian", "conserved")
Line = tuple[str, str, sp.Expr]


def equations_of(model: Model, *, form: str | None = None, latex: bool = False) -> str:
    """The equations of a model, one a line.

    ``form`` is one of `FORMS`, or None for all of them; ``latex`` writes an ``align*`` environment
    a form instead of text.

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
        lines = list(_LINES[name](ode))
        if not latex:
            said = [f"{left} = {sp.sstr(right)}" for left, _, right in lines]
            body = "\n".join(said) or "no conserved quantity of the form sum g_v n_v |v|^2"
            blocks.append(body if form else f"# {name}\n{body}")
        elif lines:
            rows = (f"  {left} &= {sp.latex(right)}" for _, left, right in lines)
            blocks.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
        else:
            blocks.append("% no conserved quantity of the form sum g_v n_v |v|^2")
    return "\n\n".join(blocks)


def _loss(ode: ReducedODE) -> Iterable[Line]:
    yield "L", "L", sp.sympify(ode.loss)
    for name, expression in ode.outputs.items():
        if name != "total":
            yield name, rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}", expression


def _ode(ode: ReducedODE) -> Iterable[Line]:
    for symbol, slope in zip(ode.state, ode.rhs, strict=True):
        yield f"d{symbol.name}/dt", rf"\frac{{d {sp.latex(symbol)}}}{{dt}}", slope


def _jacobian(ode: ReducedODE) -> Iterable[Line]:
    for i, row in enumerate(ode.state):
        for j, column in enumerate(ode.state):
            top, bottom = sp.latex(row), sp.latex(column)
            yield (
                f"d(d{row.name}/dt)/d{column.name}",
                rf"\frac{{\partial \dot{{{top}}}}}{{\partial {bottom}}}",
                ode.jacobian[i, j],
            )


def _conserved(ode: ReducedODE) -> Iterable[Line]:
    for quantity in ode.conserved:
        yield "constant", r"\mathrm{const}", quantity


_LINES: dict[str, Callable[[ReducedODE], Iterable[Line]]] = {
    "loss": _loss,
    "ode": _ode,
    "jacobian": _jacobian,
    "conserved": _conserved,
}
