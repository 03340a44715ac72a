"""The LLVM module of a system, as text: tables, Jacobian, integration step and descent."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import sympy as sp
from llvmlite import ir

from ...errors import ModelError
from ..model import Model
from ..reduction import ReducedODE, reduce
from .arithmetic import DOUBLE, INT64, POINTER, Arithmetic, constant, store, vector
from .codegen import Program, function, read_all, write_all
from .runge_kutta import add_begin, add_step

# flush-to-zero and denormals-are-zero in the x86 MXCSR register
_FLUSH = 0x8040


def in_form(ode: ReducedODE, form: str) -> ReducedODE:
    """The flow itself, or the modified flow with the step size ``eta`` as its last parameter."""
    if form == "flow":
        return ode
    if "eta" in (*ode.parameter_names, *ode.state_names):
        raise ModelError(
            f"{ode.name} has a symbol 'eta', which is the step size of form='modified'; rename it"
        )
    eta = sp.Symbol("eta", nonnegative=True)
    return ode.with_parameter(eta, ode.modified_rhs(eta))


def emit(
    model: Model | ReducedODE, arithmetic: Arithmetic, form: str, functions: Sequence[str]
) -> tuple[ReducedODE, str]:
    """The reduced ODE and the text of its LLVM module."""
    ode = in_form(reduce(model) if isinstance(model, Model) else model, form)
    module = ir.Module(name=ode.name)
    tables = {"rhs": ode.rhs, "outputs": tuple(ode.outputs.values())}
    kernels = {"begin": add_begin, "step": add_step, "descend": add_descent}
    for name in functions:
        if name in tables:
            add_table(module, name, tables[name], ode, arithmetic)
        elif name == "jacobian":
            add_jacobian(module, ode)
        elif name in kernels:
            kernels[name](module, ode, arithmetic)
    add_subnormal_switch(module, x86=platform.machine().lower() in ("x86_64", "amd64"))
    return ode, _wide_registers(str(module))


def _wide_registers(text: str) -> str:
    """Allow full-width vector registers, which LLVM avoids on some processors by default."""
    attributes = ' "min-legal-vector-width"="512" "prefer-vector-width"="512"'
    lines = text.splitlines()
    return "\n".join(line + attributes if line.startswith("define ") else line for line in lines)


@contextlib.contextmanager
def _over_rows(module: ir.Module, name: str) -> Iterator[tuple[Any, ...]]:
    """A function ``void name(count, y, p, p_stride, out)`` whose body runs for each row.

    ``p_stride`` is the number of doubles from one row's parameters to the next, 0 to share them.
    Yields the body's builder, the row's number and the other arguments.
    """
    table, b = function(module, name, [INT64, POINTER, POINTER, INT64, POINTER], ir.VoidType())
    head, body, end = (table.append_basic_block(n) for n in ("head", "body", "end"))
    entry = b.block
    b.branch(head)
    b.position_at_end(head)
    row = _phi(b, (INT64(0), entry))
    b.cbranch(b.icmp_signed("<", row, table.args[0]), body, end)
    b.position_at_end(body)
    yield b, row, *table.args[1:]
    row.add_incoming(b.add(row, INT64(1)), b.block)
    b.branch(head)
    b.position_at_end(end)
    b.ret_void()


def _phi(b: ir.IRBuilder, *versions: tuple[ir.Value, ir.Block]) -> Any:
    """A value that depends on the block from which control arrives."""
    value = b.phi(versions[0][0].type)
    for version, block in versions:
        value.add_incoming(version, block)
    return value


def add_table(
    module: ir.Module, name: str, expressions: Sequence[sp.Expr], ode: ReducedODE, a: Arithmetic
) -> None:
    """Emit a function that computes the expressions for each row."""
    program = Program(expressions, ode.state, ode.parameters)
    with _over_rows(module, name) as (b, row, y, p, p_stride, out):
        state = read_all(b, a, y, b.mul(row, INT64(a.size * len(ode.state))), len(ode.state))
        parameters = read_all(b, a, p, b.mul(row, p_stride), len(ode.parameters))
        results = program.emit(b, a, state, parameters)
        write_all(b, a, results, out, b.mul(row, INT64(a.size * len(results))))


def add_jacobian(module: ir.Module, ode: ReducedODE) -> None:
    """Emit a function that computes ∂f_i/∂y_j, row-major, for each row.

    It evaluates the right-hand side once over dual numbers, one direction a state, which is cheaper
    to derive and to run than the symbolic Jacobian.
    """
    states = len(ode.state)
    single, dual = Arithmetic(), Arithmetic(directions=states)
    program = Program(ode.rhs, ode.state, ode.parameters)
    unit = [[float(i == j) for j in range(states)] for i in range(states)]
    directions = [line if states > 1 else line[0] for line in unit]  # one double is no vector
    with _over_rows(module, "jacobian") as (b, row, y, p, p_stride, out):
        values = read_all(b, single, y, b.mul(row, INT64(states)), states)
        seeds = [ir.Constant(vector(states), direction) for direction in directions]
        numbers = read_all(b, single, p, b.mul(row, p_stride), len(ode.parameters))
        state = [(value, seed) for (value, _), seed in zip(values, seeds, strict=True)]
        slopes = program.emit(b, dual, state, numbers)
        for i, (_, derivatives) in enumerate(slopes):
            place = b.add(b.mul(row, INT64(states * states)), INT64(states * i))
            store(b, constant(0.0, states) if derivatives is None else derivatives, out, place)


def add_descent(module: ir.Module, ode: ReducedODE, a: Arithmetic) -> None:
    """Emit ``int64 descend(count, step_size, threshold, every, y, p, rows)``.

    Updates y ← y + η f(y) in place, and writes the state to the next of ``rows`` after each
    ``every``-th update (never for 0). Stops before the update at which ``total`` is below the
    threshold or NaN. Returns the number n of updates made; −1 − n for NaN.
    """
    states = len(ode.state)
    program = Program([ode.outputs["total"], *ode.rhs], ode.state, ode.parameters)
    descend, b = function(
        module, "descend", [INT64, DOUBLE, DOUBLE, INT64, POINTER, POINTER, POINTER], INT64
    )
    count, step_size, threshold, every, y, p, rows = descend.args
    head, body, check, update, keep, onward, end = (
        descend.append_basic_block(n)
        for n in ("head", "body", "check", "update", "keep", "onward", "end")
    )
    start = read_all(b, a, y, 0, states)
    parameters = read_all(b, a, p, 0, len(ode.parameters))
    entry = b.block
    b.branch(head)

    b.position_at_end(head)
    step, row = (_phi(b, (INT64(0), entry)) for _ in range(2))
    next_write = _phi(b, (every, entry))
    loops = [_phi(b, (value, entry)) for value in _flatten(start)]
    state = _unflatten(loops, start)
    b.cbranch(b.icmp_signed("<", step, count), body, end)

    b.position_at_end(body)
    total, *slopes = program.emit(b, a, state, parameters)
    not_below = b.fcmp_ordered(">=", total[0], threshold)
    b.cbranch(not_below, update, check)
    b.position_at_end(check)
    diverged = b.fcmp_unordered("uno", total[0], total[0])
    code = b.select(diverged, b.sub(INT64(-1), step), step)
    b.branch(end)

    b.position_at_end(update)
    new_state = [a.add(b, s, a.scale(b, step_size, f)) for s, f in zip(state, slopes, strict=True)]
    after = b.add(step, INT64(1))
    b.cbranch(b.icmp_signed("==", after, next_write), keep, onward)
    b.position_at_end(keep)
    write_all(b, a, new_state, rows, b.mul(row, INT64(a.size * states)))
    row_after, write_after = b.add(row, INT64(1)), b.add(next_write, every)
    b.branch(onward)
    b.position_at_end(onward)
    rows_after = _phi(b, (row, update), (row_after, keep))
    next_after = _phi(b, (next_write, update), (write_after, keep))
    for loop, value in zip(
        (step, row, next_write, *loops), (after, rows_after, next_after, *_flatten(new_state)),
        strict=True,
    ):  # fmt: skip
        loop.add_incoming(value, onward)
    b.branch(head)

    b.position_at_end(end)
    result = _phi(b, (step, head), (code, check))
    write_all(b, a, state, y, 0)
    b.ret(result)


def _flatten(numbers: Sequence[Any]) -> list[ir.Value]:
    return [part for number in numbers for part in number if part is not None]


def _unflatten(values: Sequence[ir.Value], like: Sequence[Any]) -> list[Any]:
    parts = iter(values)
    return [tuple(None if part is None else next(parts) for part in number) for number in like]


def add_subnormal_switch(module: ir.Module, *, x86: bool) -> None:
    """Emit ``int64 flush(_)``, which returns the previous mode, and ``restore(mode)``.

    They do nothing on processors other than x86, where subnormal arithmetic is not slow.
    """
    _, flush = function(module, "flush", [INT64], INT64)
    switch, restore = function(module, "restore", [INT64], INT64)
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
    restore.store(restore.trunc(switch.args[0], i32), place)
    restore.call(write, [place])
    restore.ret(INT64(0))
