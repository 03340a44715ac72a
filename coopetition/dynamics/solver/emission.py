"""Subnormal numbers taken as zero while a batch is integrated.

What decays exponentially for long (a strategy that lost) ends in numbers below 2e-308, on which
some processors are a hundred times as slow. The switch is the thread's own floating-point control
word.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence

import sympy as sp
from llvmlite import ir

from ...errors import ModelError
from ..model import Model
from ..reduction import ReducedODE, reduce
from .arithmetic import INT64, POINTER, Arithmetic
from .codegen import add_jacobian, add_table_function, function
from .descent_kernel import add_descent
from .runge_kutta import add_begin, add_step

# flush-to-zero and denormals-are-zero in the x86 MXCSR register
_FLUSH = 0x8040


def add_subnormal_switch(module: ir.Module, *, x86: bool) -> None:
    """Emit ``int64 flush(_)``, which switches and returns the mode before, and ``restore(mode)``.

    Elsewhere than on x86 they do nothing: there subnormal arithmetic costs no more.
    """
    _, flush = function(module, "flush", [INT64], INT64)
    made, restore = function(module, "restore", [INT64], INT64)
    if not x86:
        flush.ret(INT64(0))
        restore.ret(INT64(0))
        return
    i32, void = ir.IntType(32), ir.VoidType()
    kind = ir.FunctionType(void, [POINTER])
    read = ir.Function(module, kind, "llvm.x86.sse.stmxcsr")
    write = ir.Function(module, kind, "llvm.x86.sse.ldmxcsr")
    place = flush.alloca(i32)
    flush.call(read, [place])
    mode = flush.load(place, typ=i32)
    flush.store(flush.or_(mode, i32(_FLUSH)), place)
    flush.call(write, [place])
    flush.ret(flush.zext(mode, INT64))
    place = restore.alloca(i32)
    restore.store(restore.trunc(made.args[0], i32), place)
    restore.call(write, [place])
    restore.ret(INT64(0))


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
