"""The LLVM module of a model: reduce, choose the form, emit each function."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence

import sympy as sp
from llvmlite import ir

from .arithmetic import Arithmetic
from .codegen import add_jacobian, add_table_function
from .descent_kernel import add_descent
from .errors import ModelError
from .models import Model
from .reduction import ReducedODE, reduce
from .runge_kutta import add_begin, add_step
from .subnormals import add_subnormal_switch


def in_form(ode: ReducedODE, form: str) -> ReducedODE:
    """The flow itself, or the modified flow with the step size ``eta`` as its last parameter."""
    if form == "flow":
        return ode
    if "eta" in (*ode.parameter_names, *ode.state_names):
        raise ModelError(
            f"{ode.name} has a symbol 'eta' of its own, which form='modified' needs for the step "
            "size; rename it"
        )
    eta = sp.Symbol("eta", nonnegative=True)
    return dataclasses.replace(
        ode,
        parameters=(*ode.parameters, eta),
        defaults={**ode.defaults, "eta": 1.0},
        rhs=ode.modified_rhs(eta),
        loss=None,
        mobility=None,
    )


def emit(
    model: Model | ReducedODE, arithmetic: Arithmetic, form: str, functions: Sequence[str]
) -> tuple[ReducedODE, str]:
    """The reduced ODE and the text of its LLVM module."""
    ode = in_form(reduce(model) if isinstance(model, Model) else model, form)
    module = ir.Module(name=ode.name)
    tables = {"rhs": ode.rhs, "outputs": tuple(ode.outputs.values())}
    steps = {"begin": add_begin, "step": add_step, "descend": add_descent}
    for name in functions:
        if name in tables:
            add_table_function(module, name, tables[name], ode, arithmetic)
        elif name == "jacobian":
            add_jacobian(module, ode)
        elif name in steps:
            steps[name](module, ode, arithmetic)
    if "flush" in functions:
        add_subnormal_switch(module, x86=platform.machine().lower() in ("x86_64", "amd64"))
    return ode, _wide_registers(str(module))


def _wide_registers(text: str) -> str:
    """Allow full-width vector registers, which LLVM avoids on some processors by default."""
    attributes = ' "min-legal-vector-width"="512" "prefer-vector-width"="512"'
    lines = text.splitlines()
    return "\n".join(line + attributes if line.startswith("define ") else line for line in lines)
