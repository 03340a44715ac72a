"""From expressions in sympy to LLVM functions: right-hand side, Jacobian, outputs, one RK step.

Common subexpressions are found once by `sympy.cse`; the straight-line program that is left is
emitted over any `Arithmetic`. What depends on parameters alone is grouped so that LLVM computes it
once a call, not once a stage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sympy as sp
from llvmlite import ir

from ...errors import ModelError
from ..reduction import ReducedODE
from .arithmetic import INT64, POINTER, Arithmetic, Dual, Lanes, constant, store, vector

_FUNCTIONS = {sp.exp: "exp", sp.log: "log"}


class Program:
    """Expressions as a straight line of assignments.

    Parameters
    ----------
    expressions
        What to compute.
    state, parameters
        The symbols it may contain.
    """

    def __init__(
        self,
        expressions: Iterable[sp.Expr],
        state: Sequence[sp.Symbol],
        parameters: Sequence[sp.Symbol],
    ) -> None:
        self.state, self.parameters = tuple(state), tuple(parameters)
        self.assignments, self.results = sp.cse(list(expressions), order="none")
        self._constant = set(parameters)
        for symbol, expression in self.assignments:
            if expression.free_symbols <= self._constant:
                self._constant.add(symbol)

    def emit(
        self, builder: ir.IRBuilder, arithmetic: Arithmetic, state: Sequence[Any], p: Sequence[Any]
    ) -> list[Any]:
        """The results as numbers of the arithmetic, given those of state and parameters."""
        known = dict(zip((*self.state, *self.parameters), (*state, *p), strict=True))
        for symbol, expression in self.assignments:
            known[symbol] = self._number(builder, arithmetic, expression, known)
        return [self._number(builder, arithmetic, e, known) for e in self.results]

    def _number(
        self, b: ir.IRBuilder, a: Arithmetic, expression: sp.Expr, known: dict[sp.Symbol, Any]
    ) -> Any:
        if expression.is_Symbol:
            return known[expression]
        if expression.is_number and expression.is_real and not expression.args:
            return a.literal(float(expression))
        if expression.is_Add:
            return self._sum(b, a, expression, known)
        if expression.is_Mul:
            return self._product(b, a, expression.args, known)
        if expression.is_Pow:
            return self._power(b, a, expression, known)
        name = _FUNCTIONS.get(expression.func)
        if name is None:
            raise ModelError(
                f"cannot generate code for {expression.func}: use sums, products, powers, "
                "square roots, exp and log"
            )
        return a.function(b, name, self._number(b, a, expression.args[0], known))

    def _sum(self, b: ir.IRBuilder, a: Arithmetic, e: sp.Expr, known: dict[sp.Symbol, Any]) -> Any:
        # terms with a minus come last, so that they are subtracted, not negated and added
        terms = sorted(e.args, key=lambda t: t.could_extract_minus_sign())
        total = self._number(b, a, terms[0], known)
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = a.subtract(b, total, self._number(b, a, -term, known))
            else:
                total = a.add(b, total, self._number(b, a, term, known))
        return total

    def _product(
        self, b: ir.IRBuilder, a: Arithmetic, factors: Sequence[sp.Expr], known: dict[Any, Any]
    ) -> Any:
        if factors[0] == -1:
            return a.negate(b, self._product(b, a, factors[1:], known))
        below = [f for f in factors if f.is_Pow and f.exp.is_negative]
        above = [f for f in factors if f not in below]
        # constants together: LLVM then hoists their product out of the stages
        above.sort(key=lambda f: not f.free_symbols <= self._constant)
        product = None
        for factor in above:
            number = self._number(b, a, factor, known)
            product = number if product is None else a.multiply(b, product, number)
        for factor in below:
            divisor = self._power(b, a, factor.base ** (-factor.exp), known)
            if factor.free_symbols <= self._constant:
                inverse = a.divide(b, a.literal(1.0), divisor)
                product = inverse if product is None else a.multiply(b, product, inverse)
            else:
                product = a.literal(1.0) if product is None else product
                product = a.divide(b, product, divisor)
        return product

    def _power(self, b: ir.IRBuilder, a: Arithmetic, e: sp.Expr, known: dict[Any, Any]) -> Any:
        if not e.is_Pow:
            return self._number(b, a, e, known)
        base, exponent = e.base, e.exp
        if exponent.is_negative:
            return a.divide(b, a.literal(1.0), self._power(b, a, base ** (-exponent), known))
        number = self._number(b, a, base, known)
        if exponent.is_Integer:
            return self._integer_power(b, a, number, int(exponent))
        if (2 * exponent).is_Integer:
            root = a.function(b, "sqrt", number)
            return self._integer_power(b, a, root, int(2 * exponent))
        scaled = a.multiply(b, self._number(b, a, exponent, known), a.function(b, "log", number))
        return a.function(b, "exp", scaled)

    @staticmethod
    def _integer_power(b: ir.IRBuilder, a: Arithmetic, number: Any, exponent: int) -> Any:
        result, square = None, number
        while exponent:
            if exponent & 1:
                result = square if result is None else a.multiply(b, result, square)
            exponent >>= 1
            if exponent:
                square = a.multiply(b, square, square)
        return result


def function(module: ir.Module, name: str, arguments: Sequence[ir.Type], result: ir.Type) -> Any:
    """A new function with its builder at the entry: ``(function, builder)``."""
    made = ir.Function(module, ir.FunctionType(result, list(arguments)), name)
    return made, ir.IRBuilder(made.append_basic_block("entry"))


def read_all(
    b: ir.IRBuilder, a: Arithmetic, pointer: ir.Value, start: Any, count: int
) -> list[Any]:
    """``count`` numbers in a row."""
    offsets = [a.size * k for k in range(count)]
    if isinstance(start, int):
        return [a.read(b, pointer, start + offset) for offset in offsets]
    return [a.read(b, pointer, b.add(start, INT64(offset))) for offset in offsets]


def write_all(
    b: ir.IRBuilder, a: Arithmetic, numbers: Sequence[Any], pointer: ir.Value, start: Any
) -> None:
    """Store numbers in a row."""
    for k, number in enumerate(numbers):
        at = start + a.size * k if isinstance(start, int) else b.add(start, INT64(a.size * k))
        a.write(b, number, pointer, at)


def add_table_function(
    module: ir.Module, name: str, expressions: Sequence[sp.Expr], ode: ReducedODE, a: Arithmetic
) -> None:
    """Emit ``void name(count, y, p, p_stride, out)``: the expressions for each of ``count`` rows.

    ``p_stride`` is the number of doubles from one row's parameters to the next, 0 to share them.
    """
    program = Program(expressions, ode.state, ode.parameters)
    made, b = function(module, name, [INT64, POINTER, POINTER, INT64, POINTER], ir.VoidType())
    count, y, p, p_stride, out = made.args
    with _rows(made, b, count) as row:
        state = read_all(b, a, y, b.mul(row, INT64(a.size * len(ode.state))), len(ode.state))
        parameters = read_all(b, a, p, b.mul(row, p_stride), len(ode.parameters))
        results = program.emit(b, a, state, parameters)
        write_all(b, a, results, out, b.mul(row, INT64(a.size * len(results))))
    b.ret_void()


def add_jacobian(module: ir.Module, ode: ReducedODE) -> None:
    """Emit ``void jacobian(count, y, p, p_stride, out)``: ∂f_i/∂y_j, row-major, for each row.

    The right-hand side is evaluated once over dual numbers, one direction a state, which is cheaper
    to derive and to run than the symbolic Jacobian; tests hold the two against each other.
    """
    states = len(ode.state)
    a, program = Dual(states), Program(ode.rhs, ode.state, ode.parameters)
    made, b = function(module, "jacobian", [INT64, POINTER, POINTER, INT64, POINTER], ir.VoidType())
    count, y, p, p_stride, out = made.args
    unit = [[float(i == j) for j in range(states)] for i in range(states)]
    directions = [line if states > 1 else line[0] for line in unit]  # one double is no vector
    with _rows(made, b, count) as row:
        plain, at = Lanes(1), b.mul(row, INT64(states))
        values = read_all(b, plain, y, at, states)
        seeds = [ir.Constant(vector(states), direction) for direction in directions]
        parameters = [
            (v, None) for v in read_all(b, plain, p, b.mul(row, p_stride), len(ode.parameters))
        ]
        slopes = program.emit(b, a, list(zip(values, seeds, strict=True)), parameters)
        for i, (_, sensitivity) in enumerate(slopes):
            place = b.add(b.mul(row, INT64(states * states)), INT64(states * i))
            store(b, constant(0.0, states) if sensitivity is None else sensitivity, out, place)
    b.ret_void()


@contextlib.contextmanager
def _rows(made: ir.Function, b: ir.IRBuilder, count: ir.Value) -> Iterator[ir.Value]:
    """A loop over row numbers: its body is emitted inside, what follows afterwards."""
    head, body, end = (made.append_basic_block(n) for n in ("head", "body", "end"))
    entry = b.block
    b.branch(head)
    b.position_at_end(head)
    row = b.phi(INT64)
    row.add_incoming(INT64(0), entry)
    b.cbranch(b.icmp_signed("<", row, count), body, end)
    b.position_at_end(body)
    yield row
    row.add_incoming(b.add(row, INT64(1)), b.block)
    b.branch(head)
    b.position_at_end(end)
