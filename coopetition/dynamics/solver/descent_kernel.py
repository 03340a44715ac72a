"""Exact gradient descent as one generated loop, which keeps every so many states as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from ..reduction import ReducedODE
from .arithmetic import DOUBLE, INT64, POINTER, Arithmetic
from .codegen import Program, function, read_all, write_all


def add_descent(module: ir.Module, ode: ReducedODE, a: Arithmetic) -> None:
    """Emit ``int64 descend(count, step_size, threshold, every, y, p, rows)``.

    v ← v − η ∂L/∂v reads y ← y + η f(y) in the reduced state, exactly; y is changed in place. After
    each ``every``-th update the state is written to the next of ``rows`` (never for 0). Stops
    before the update at which ``total`` is below the threshold, or is no number, and returns the
    number n of updates made; −1 − n where it was no number.
    """
    states = len(ode.state)
    program = Program([ode.outputs["total"], *ode.rhs], ode.state, ode.parameters)
    made, b = function(
        module, "descend", [INT64, DOUBLE, DOUBLE, INT64, POINTER, POINTER, POINTER], INT64
    )
    count, step_size, threshold, every, y, p, rows = made.args
    head, body, check, update, keep, onward, end = (
        made.append_basic_block(n)
        for n in ("head", "body", "check", "update", "keep", "onward", "end")
    )
    start = read_all(b, a, y, 0, states)
    parameters = read_all(b, a, p, 0, len(ode.parameters))
    entry = b.block
    b.branch(head)

    b.position_at_end(head)
    step, kept = (_loop_value(b, INT64, INT64(0), entry) for _ in range(2))
    next_kept = _loop_value(b, INT64, every, entry)
    loops = [_loop_value(b, value.type, value, entry) for value in _flatten(start)]
    state = _unflatten(loops, start)
    b.cbranch(b.icmp_signed("<", step, count), body, end)

    b.position_at_end(body)
    total, *slopes = program.emit(b, a, state, parameters)
    not_below = b.fcmp_ordered(">=", a.value(total), threshold)
    b.cbranch(not_below, update, check)
    b.position_at_end(check)
    diverged = b.fcmp_unordered("uno", a.value(total), a.value(total))
    code = b.select(diverged, b.sub(INT64(-1), step), step)
    b.branch(end)

    b.position_at_end(update)
    moved = [a.add(b, s, a.scale(b, step_size, f)) for s, f in zip(state, slopes, strict=True)]
    after = b.add(step, INT64(1))
    b.cbranch(b.icmp_signed("==", after, next_kept), keep, onward)
    b.position_at_end(keep)
    write_all(b, a, moved, rows, b.mul(kept, INT64(a.size * states)))
    one_more, later = b.add(kept, INT64(1)), b.add(next_kept, every)
    b.branch(onward)
    b.position_at_end(onward)
    kept_after = _merged(b, (kept, update), (one_more, keep))
    next_after = _merged(b, (next_kept, update), (later, keep))
    for loop, value in zip(
        (step, kept, next_kept, *loops), (after, kept_after, next_after, *_flatten(moved)),
        strict=True,
    ):  # fmt: skip
        loop.add_incoming(value, onward)
    b.branch(head)

    b.position_at_end(end)
    result = _merged(b, (step, head), (code, check))
    write_all(b, a, state, y, 0)
    b.ret(result)


def _loop_value(b: ir.IRBuilder, kind: ir.Type, first: ir.Value, entry: ir.Block) -> Any:
    value = b.phi(kind)
    value.add_incoming(first, entry)
    return value


def _merged(b: ir.IRBuilder, *versions: tuple[ir.Value, ir.Block]) -> Any:
    value = b.phi(versions[0][0].type)
    for version, block in versions:
        value.add_incoming(version, block)
    return value


def _flatten(numbers: Sequence[Any]) -> list[ir.Value]:
    return [part for n in numbers for part in (n if isinstance(n, tuple) else (n,))]


def _unflatten(values: Sequence[ir.Value], like: Sequence[Any]) -> list[Any]:
    parts = iter(values)
    return [tuple(next(parts) for _ in n) if isinstance(n, tuple) else next(parts) for n in like]
