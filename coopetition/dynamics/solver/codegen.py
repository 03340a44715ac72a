"""From expressions in sympy to LLVM instructions, over any `Arithmetic`.

`sympy.cse` extracts common subexpressions into a straight line of assignments. Factors that depend
on parameters alone are grouped, so that LLVM computes them once a call, not once a stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import sympy as sp
from llvmlite import ir

from ...errors import ModelError
from .arithmetic import Arithmetic, plus

_FUNCTIONS = {sp.exp: "exp", sp.log: "log"}


class Program:
    """Expressions in the symbols of state and parameters, as a straight line of assignments."""

    def __init__(
        self,
        expressions: Iterable[sp.Expr],
        state: Sequence[sp.Symbol],
        parameters: Sequence[sp.Symbol],
    ) -> None:
        self.symbols = (*state, *parameters)
        self.assignments, self.results = sp.cse(list(expressions), order="none")
        self.constants = set(parameters)
        for symbol, expression in self.assignments:
            if expression.free_symbols <= self.constants:
                self.constants.add(symbol)

    def emit(
        self, builder: ir.IRBuilder, arithmetic: Arithmetic, state: Sequence[Any], p: Sequence[Any]
    ) -> list[Any]:
        """The results as numbers of the arithmetic, from those of state and parameters."""
        values = dict(zip(self.symbols, (*state, *p), strict=True))
        writer = _ExpressionWriter(builder, arithmetic, values, self.constants)
        for symbol, expression in self.assignments:
            values[symbol] = writer.number(expression)
        return [writer.number(expression) for expression in self.results]


@dataclasses.dataclass(frozen=True)
class _ExpressionWriter:
    """Emits expressions in symbols of known values; ``constants`` do not depend on the state."""

    b: ir.IRBuilder
    a: Arithmetic
    values: Mapping[sp.Symbol, Any]
    constants: AbstractSet[sp.Symbol]

    def number(self, e: sp.Expr) -> Any:
        if e.is_Symbol:
            return self.values[e]
        if e.is_number and e.is_real and not e.args:
            return self.a.literal(float(e))
        if e.is_Add:
            return self.sum(e)
        if e.is_Mul:
            return self.product(e.args)
        if e.is_Pow:
            return self.power(e)
        name = _FUNCTIONS.get(e.func)
        if name is None:
            raise ModelError(
                f"cannot generate code for {e.func}: use sums, products, powers, square roots, exp "
                "and log"
            )
        return self.a.function(self.b, name, self.number(e.args[0]))

    def sum(self, e: sp.Expr) -> Any:
        # negative terms come last, so that they are subtracted, not negated and added
        terms = sorted(e.args, key=lambda t: t.could_extract_minus_sign())
        total = self.number(terms[0])
        for term in terms[1:]:
            if term.could_extract_minus_sign():
                total = self.a.subtract(self.b, total, self.number(-term))
            else:
                total = self.a.add(self.b, total, self.number(term))
        return total

    def product(self, factors: Sequence[sp.Expr]) -> Any:
        a, b = self.a, self.b
        if factors[0] == -1:
            return a.negate(b, self.product(factors[1:]))
        divisors = [f for f in factors if f.is_Pow and f.exp.is_negative]
        multipliers = [f for f in factors if f not in divisors]
        # constants together: LLVM then hoists their product out of the stages
        multipliers.sort(key=lambda f: not f.free_symbols <= self.constants)
        product = None
        for factor in multipliers:
            number = self.number(factor)
            product = number if product is None else a.multiply(b, product, number)
        for factor in divisors:
            divisor = self.power(factor.base ** (-factor.exp))
            if factor.free_symbols <= self.constants:
                inverse = a.divide(b, a.literal(1.0), divisor)
                product = inverse if product is None else a.multiply(b, product, inverse)
            else:
                product = a.literal(1.0) if product is None else product
                product = a.divide(b, product, divisor)
        return product

    def power(self, e: sp.Expr) -> Any:
        a, b = self.a, self.b
        if not e.is_Pow:
            return self.number(e)
        base, exponent = e.base, e.exp
        if exponent.is_negative:
            return a.divide(b, a.literal(1.0), self.power(base ** (-exponent)))
        number = self.number(base)
        if exponent.is_Integer:
            return self.integer_power(number, int(exponent))
        if (2 * exponent).is_Integer:
            return self.integer_power(a.function(b, "sqrt", number), int(2 * exponent))
        logarithm = a.multiply(b, self.number(exponent), a.function(b, "log", number))
        return a.function(b, "exp", logarithm)

    def integer_power(self, number: Any, exponent: int) -> Any:
        result, square = None, number
        while exponent:
            if exponent & 1:
                result = square if result is None else self.a.multiply(self.b, result, square)
            exponent >>= 1
            if exponent:
                square = self.a.multiply(self.b, square, square)
        return result


def function(module: ir.Module, name: str, arguments: Sequence[ir.Type], result: ir.Type) -> Any:
    """A new function and a builder at its entry."""
    new = ir.Function(module, ir.FunctionType(result, list(arguments)), name)
    return new, ir.IRBuilder(new.append_basic_block("entry"))


def read_all(
    b: ir.IRBuilder, a: Arithmetic, pointer: ir.Value, start: Any, count: int
) -> list[Any]:
    """``count`` numbers in a row, from the double ``start`` on."""
    return [a.read(b, pointer, plus(b, start, a.size * k)) for k in range(count)]


def write_all(
    b: ir.IRBuilder, a: Arithmetic, numbers: Sequence[Any], pointer: ir.Value, start: Any
) -> None:
    """Store numbers in a row."""
    for k, number in enumerate(numbers):
        a.write(b, number, pointer, plus(b, start, a.size * k))
