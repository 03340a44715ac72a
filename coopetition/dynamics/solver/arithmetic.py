"""The kinds of number that generated functions compute with, as LLVM instructions.

The same expressions are emitted for several trajectories side by side in one vector register, and
for one trajectory with its derivatives in several directions, by forward-mode differentiation:
(u, u̇)(v, v̇) = (uv, u v̇ + v u̇).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

DOUBLE = ir.DoubleType()
INT64 = ir.IntType(64)
POINTER = ir.PointerType()
# allows a·b + c to become one fused instruction, and no reordering
CONTRACT = ("contract",)


def vector(count: int) -> ir.Type:
    """The LLVM type of ``count`` doubles, a plain double for one."""
    return DOUBLE if count == 1 else ir.VectorType(DOUBLE, count)


def constant(value: float, count: int) -> ir.Constant:
    """``count`` equal doubles."""
    return ir.Constant(vector(count), value if count == 1 else [value] * count)


def element_pointer(builder: ir.IRBuilder, pointer: ir.Value, index: Any) -> ir.Value:
    """The address of the double at an index (a Python or an LLVM integer)."""
    position = INT64(index) if isinstance(index, int) else index
    return builder.gep(pointer, [position], source_etype=DOUBLE)


def plus(builder: ir.IRBuilder, index: Any, offset: int) -> Any:
    """An index (a Python or an LLVM integer) plus a number of doubles."""
    return index + offset if isinstance(index, int) else builder.add(index, INT64(offset))


def load(builder: ir.IRBuilder, pointer: ir.Value, index: Any, count: int) -> ir.Value:
    """``count`` doubles from ``index`` on."""
    return builder.load(element_pointer(builder, pointer, index), typ=vector(count), align=8)


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, index: Any) -> None:
    """Write doubles from ``index`` on."""
    builder.store(value, element_pointer(builder, pointer, index), align=8)


def intrinsic(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
    """Call an overloaded LLVM intrinsic such as ``sqrt`` or ``maxnum``."""
    kind = arguments[0].type
    suffix = "f64" if kind == DOUBLE else f"v{kind.count}f64"
    full = f"llvm.{name}.{suffix}"
    module = builder.module
    function = module.globals.get(full)
    if function is None:
        function = ir.Function(module, ir.FunctionType(kind, [kind] * len(arguments)), full)
    return builder.call(function, arguments)


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Numbers of ``lanes`` trajectories, or of one with derivatives in ``directions`` directions.

    A number is a pair (values, derivatives); derivatives are None where all are zero, so that
    constants cost nothing. It lies in memory as ``size`` doubles, values first.
    """

    lanes: int = 1
    directions: int = 0

    @property
    def name(self) -> str:
        """Its part of the cached code's file name."""
        return f"dual{self.directions}" if self.directions else f"lanes{self.lanes}"

    @property
    def size(self) -> int:
        """Doubles a number takes in memory."""
        return self.lanes + self.directions

    def read(self, b: ir.IRBuilder, pointer: ir.Value, index: Any) -> Any:
        """The number at ``index``."""
        if not self.directions:
            return load(b, pointer, index, self.lanes), None
        after = plus(b, index, 1)
        return load(b, pointer, index, 1), load(b, pointer, after, self.directions)

    def write(self, b: ir.IRBuilder, x: Any, pointer: ir.Value, index: Any) -> None:
        """Store the number at ``index``."""
        after = plus(b, index, 1) if self.directions else index
        store(b, x[0], pointer, index)
        if self.directions:
            store(b, self._filled(x[1]), pointer, after)

    def literal(self, value: float) -> Any:
        return constant(value, self.lanes), None

    def add(self, b: ir.IRBuilder, x: Any, y: Any) -> Any:
        derivative = x[1] if y[1] is None else y[1]
        if x[1] is not None and y[1] is not None:
            derivative = b.fadd(x[1], y[1], flags=CONTRACT)
        return b.fadd(x[0], y[0], flags=CONTRACT), derivative

    def subtract(self, b: ir.IRBuilder, x: Any, y: Any) -> Any:
        if y[1] is None:
            derivative = x[1]
        else:
            derivative = b.fneg(y[1]) if x[1] is None else b.fsub(x[1], y[1], flags=CONTRACT)
        return b.fsub(x[0], y[0], flags=CONTRACT), derivative

    def multiply(self, b: ir.IRBuilder, x: Any, y: Any) -> Any:
        total = None
        for factor, derivative in ((x[0], y[1]), (y[0], x[1])):
            if derivative is not None:
                term = b.fmul(self._spread(b, factor), derivative, flags=CONTRACT)
                total = term if total is None else b.fadd(total, term, flags=CONTRACT)
        return b.fmul(x[0], y[0], flags=CONTRACT), total

    def scale(self, b: ir.IRBuilder, factor: ir.Value, x: Any) -> Any:
        """A vector of ``lanes`` plain factors times x."""
        return self.multiply(b, (factor, None), x)

    def divide(self, b: ir.IRBuilder, x: Any, y: Any) -> Any:
        """X / y, with derivative (ẋ − (x/y) ẏ) / y."""
        if not self.directions:
            return b.fdiv(x[0], y[0]), None
        inverse = b.fdiv(constant(1.0, 1), y[0])
        quotient = b.fmul(x[0], inverse)
        numerator = self.subtract(b, x, self.multiply(b, (quotient, None), y))[1]
        if numerator is None:
            return quotient, None
        return quotient, b.fmul(self._spread(b, inverse), numerator)

    def negate(self, b: ir.IRBuilder, x: Any) -> Any:
        return b.fneg(x[0]), None if x[1] is None else b.fneg(x[1])

    def function(self, b: ir.IRBuilder, name: str, x: Any) -> Any:
        """sqrt, exp or log of x and its derivative."""
        value = intrinsic(b, name, x[0])
        if x[1] is None:
            return value, None
        derivative = {
            "sqrt": lambda: b.fdiv(constant(0.5, 1), value),
            "exp": lambda: value,
            "log": lambda: b.fdiv(constant(1.0, 1), x[0]),
        }[name]()
        return value, b.fmul(self._spread(b, derivative), x[1])

    def select(self, b: ir.IRBuilder, condition: ir.Value, x: Any, y: Any) -> Any:
        """Choose x in the lanes where the condition holds, else y."""
        value = b.select(condition, x[0], y[0])
        if not self.directions:
            return value, None
        return value, b.select(condition, self._filled(x[1]), self._filled(y[1]))

    def largest_derivatives(self, b: ir.IRBuilder, numbers: Sequence[Any]) -> list[ir.Value]:
        """The largest absolute derivative among the numbers, direction by direction."""
        largest: ir.Value = constant(0.0, self.directions)
        for _, derivative in numbers:
            if derivative is not None:
                largest = intrinsic(b, "maxnum", largest, intrinsic(b, "fabs", derivative))
        if self.directions == 1:
            return [largest]
        return [b.extract_element(largest, ir.IntType(32)(j)) for j in range(self.directions)]

    def _filled(self, derivative: ir.Value | None) -> ir.Value:
        """Derivatives, zeros where there are none."""
        return constant(0.0, self.directions) if derivative is None else derivative

    def _spread(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """The scalar x in every direction."""
        if self.directions == 1:
            return x
        kind = vector(self.directions)
        one = b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.directions), None)
        return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)
