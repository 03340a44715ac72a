"""From expressions in sympy to LLVM instructions, over any `Arithmetic`.

`sympy.cse` finds common subexpressions once and leaves a straight line of assignments. What depends
on parameters alone is grouped, so that LLVM computes it once a call, not once a stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A new function and a builder at its entry."""
    made = ir.Function(module, ir.FunctionType(result, list(arguments)), name)
    return made, ir.IRBuilder(made.append_basic_block("entry"))


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
