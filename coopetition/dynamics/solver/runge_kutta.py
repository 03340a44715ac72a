"""One adaptive step of Dormand–Prince 5(4), emitted for several trajectories at once.

The whole step (stages, error norm, acceptance, next step size, interpolant) is straight-line code
over lanes: trajectories of different step sizes run side by side in one vector register, and the
failure of one does not affect the others. `loop` calls the step.

References: Dormand & Prince (1980), J. Comput. Appl. Math. 6, 19–26; Hairer, Nørsett & Wanner,
Solving Ordinary Differential Equations I, II.4 (step control, eq. 4.13 and 4.14) and II.6 (dense
output).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction as F
from typing import Any

from llvmlite import ir

from ..reduction import ReducedODE
from .arithmetic import INT64, POINTER, Arithmetic, constant, intrinsic, load, store, vector
from .codegen import Program, function, read_all, write_all
from .loop import Workspace

STAGES = (
    (F(1, 5),),
    (F(3, 40), F(9, 40)),
    (F(44, 45), F(-56, 15), F(32, 9)),
    (F(19372, 6561), F(-25360, 2187), F(64448, 6561), F(-212, 729)),
    (F(9017, 3168), F(-355, 33), F(46732, 5247), F(49, 176), F(-5103, 18656)),
    (F(35, 384), F(0), F(500, 1113), F(125, 192), F(-2187, 6784), F(11, 84)),
)
ERROR = (F(71, 57600), F(0), F(-71, 16695), F(71, 1920), F(-17253, 339200), F(22, 525), F(-1, 40))
DENSE = (
    F(-12715105075, 11282082432),
    F(0),
    F(87487479700, 32700410799),
    F(-10690763975, 1880347072),
    F(701980252875, 199316789632),
    F(-1453857185, 822651844),
    F(69997945, 29380423),
)
SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0
SENSITIVITY_SLACK = 1e3  # relative error of sensitivities a step, in units of rtol
# PI control: h · safety · err^−α · err_old^β
BETA = 0.04
ALPHA = 0.2 - 0.75 * BETA


class _StepWriter:
    """What `add_begin` and `add_step` share: the function's memory and the right-hand side."""

    def __init__(self, module: ir.Module, name: str, ode: ReducedODE, a: Arithmetic) -> None:
        self.a = a
        self.layout = Workspace(a.lanes, a.size, len(ode.state), len(ode.parameters))
        self.program = Program(ode.rhs, ode.state, ode.parameters)
        new, self.b = function(module, name, [POINTER], INT64)
        self.work = new.args[0]
        self.p = self.numbers(self.layout.p, len(ode.parameters))
        self.y = self.numbers(self.layout.y, len(ode.state))

    def numbers(self, start: int, count: int) -> list[Any]:
        return read_all(self.b, self.a, self.work, start, count)

    def control(self, name: str) -> ir.Value:
        return load(self.b, self.work, self.layout.control(name), self.a.lanes)

    def set_control(self, name: str, value: ir.Value) -> None:
        store(self.b, value, self.work, self.layout.control(name))

    def rhs(self, state: Sequence[Any]) -> list[Any]:
        return self.program.emit(self.b, self.a, state, self.p)

    def splat(self, value: float) -> ir.Constant:
        """The same number in every lane."""
        return constant(value, self.a.lanes)

    def state_after(
        self, h: ir.Value, weights: Sequence[F], slopes: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """The state after a step, y + h Σ_j weights_j k_j for every state."""
        return [
            self.a.add(self.b, y, self.a.scale(self.b, h, slope))
            for y, slope in zip(self.y, self.weighted_sum(weights, slopes), strict=True)
        ]

    def weighted_sum(self, weights: Sequence[F], slopes: Sequence[Sequence[Any]]) -> list[Any]:
        """Σ_j weights_j k_j for every state."""
        sums = []
        for k in zip(*slopes, strict=True):
            total = None
            for weight, slope in zip(weights, k, strict=True):
                if weight:
                    term = self.a.scale(self.b, self.splat(float(weight)), slope)
                    total = term if total is None else self.a.add(self.b, total, term)
            sums.append(total)
        return sums

    def norm(self, vectors: Sequence[ir.Value], scales: Sequence[ir.Value]) -> ir.Value:
        """Root of the mean of (vector/scale)²."""
        total = self.splat(0.0)
        for part, scale in zip(vectors, scales, strict=True):
            ratio = self.b.fdiv(part, scale)
            total = self.b.fadd(total, self.b.fmul(ratio, ratio))
        mean = self.b.fmul(total, self.splat(1.0 / len(vectors)))
        return intrinsic(self.b, "sqrt", mean)

    def scales(self, *states: Sequence[Any]) -> list[ir.Value]:
        """Error scales, atol + rtol · max|y| over the states before and after a step."""
        rtol, atol = self.control("rtol"), self.control("atol")
        scales = []
        for versions in zip(*states, strict=True):
            sizes = [intrinsic(self.b, "fabs", v[0]) for v in versions]
            largest = functools.reduce(functools.partial(intrinsic, self.b, "maxnum"), sizes)
            scales.append(self.b.fadd(atol, self.b.fmul(rtol, largest)))
        return scales

    def sensitivity_error(
        self, h: ir.Value, errors: Sequence[Any], new_state: Sequence[Any]
    ) -> ir.Value:
        """The largest |error|/(atol + slack · rtol · |sensitivity|) over directions, maximum norms.

        Near an equilibrium the values' error lets steps grow slightly beyond the limit of stability
        for a while, during which sensitivities would grow without bound. The slack keeps this error
        from shortening steps elsewhere.
        """
        rtol = self.b.fmul(self.control("rtol"), self.splat(SENSITIVITY_SLACK))
        error = self.a.largest_derivatives(self.b, errors)
        size = self.a.largest_derivatives(self.b, [*self.y, *new_state])
        worst = self.splat(0.0)
        for direction_error, direction_size in zip(error, size, strict=True):
            scale = self.b.fadd(self.control("atol"), self.b.fmul(rtol, direction_size))
            ratio = self.b.fdiv(self.b.fmul(h, direction_error), scale)
            worst = intrinsic(self.b, "maxnum", worst, ratio)
        return worst

    def power(self, base: ir.Value, exponent: float) -> ir.Value:
        """base^exponent to about 2 %, from the bits of the floating-point exponent.

        This suffices for step sizes, and is two orders of magnitude cheaper than an exact power.
        """
        lanes = self.a.lanes
        integers: ir.Type = INT64 if lanes == 1 else ir.VectorType(INT64, lanes)
        bits = self.b.sitofp(self.b.bitcast(base, integers), vector(lanes))
        one = (1023.0 - 0.043) * 2.0**52
        scaled = self.b.fmul(self.b.fsub(bits, self.splat(one)), self.splat(exponent))
        back = self.b.fptosi(self.b.fadd(scaled, self.splat(one)), integers)
        return self.b.bitcast(back, vector(lanes))

    def write_where(
        self, condition: ir.Value, new: Sequence[Any], start: int, old: Sequence[Any] | None = None
    ) -> None:
        """Store numbers from ``start`` on: the new in lanes where the condition holds, else old."""
        old = self.numbers(start, len(new)) if old is None else old
        numbers = [self.a.select(self.b, condition, n, o) for n, o in zip(new, old, strict=True)]
        write_all(self.b, self.a, numbers, self.work, start)

    def lanes_as_bits(self, condition: ir.Value) -> ir.Value:
        if self.a.lanes == 1:
            return self.b.zext(condition, INT64)
        return self.b.zext(self.b.bitcast(condition, ir.IntType(self.a.lanes)), INT64)


def add_begin(module: ir.Module, ode: ReducedODE, a: Arithmetic) -> None:
    """Emit ``int64 begin(work)``: slope and first step size in the lanes marked ``fresh``.

    The first step is Hairer's (II.4, algorithm (a)–(f)), from the sizes of y, y' and y'', the last
    by an Euler step.
    """
    e = _StepWriter(module, "begin", ode, a)
    b = e.b
    fresh = b.fcmp_ordered(">", e.control("fresh"), e.splat(0.5))
    slope = e.rhs(e.y)
    scales = e.scales(e.y)
    size = e.norm([y[0] for y in e.y], scales)
    rate = e.norm([k[0] for k in slope], scales)
    tiny = b.or_(b.fcmp_ordered("<", size, e.splat(1e-5)), b.fcmp_ordered("<", rate, e.splat(1e-5)))
    guess = b.select(tiny, e.splat(1e-6), b.fdiv(b.fmul(e.splat(0.01), size), rate))
    span = b.fsub(e.control("end"), e.control("time"))
    guess = intrinsic(b, "minnum", guess, span)
    after = e.rhs(e.state_after(guess, (F(1),), (slope,)))
    change = [b.fsub(n[0], o[0]) for n, o in zip(after, slope, strict=True)]
    change_rate = b.fdiv(e.norm(change, scales), guess)
    fastest = intrinsic(b, "maxnum", intrinsic(b, "maxnum", rate, change_rate), e.splat(1e-15))
    step = e.power(b.fdiv(e.splat(0.01), fastest), 0.2)
    step = intrinsic(b, "minnum", step, b.fmul(e.splat(100.0), guess))
    step = intrinsic(b, "minnum", step, span)
    e.write_where(fresh, slope, e.layout.slope)
    e.set_control("step", b.select(fresh, step, e.control("step")))
    e.set_control("error_old", b.select(fresh, e.splat(1e-4), e.control("error_old")))
    e.set_control("fresh", e.splat(0.0))
    b.ret(INT64(0))


def add_step(module: ir.Module, ode: ReducedODE, a: Arithmetic) -> None:
    """Emit ``int64 step(work)``: try one step in every lane.

    Returns a bit for each lane that needs the loop: it reached its ``stop``, its step is smaller
    than allowed (also where the state is not finite), or its steps are used up.
    """
    e = _StepWriter(module, "step", ode, a)
    b = e.b
    time, end = e.control("time"), e.control("end")
    remaining = b.fsub(end, time)
    last = b.fcmp_ordered(">=", b.fmul(e.control("step"), e.splat(1.0 + 1e-10)), remaining)
    h = b.select(last, remaining, e.control("step"))

    slopes = [e.numbers(e.layout.slope, len(e.y))]
    new_state: list[Any] = []
    for weights in STAGES:
        new_state = e.state_after(h, weights, slopes)
        slopes.append(e.rhs(new_state))

    error_slopes = e.weighted_sum(ERROR, slopes)
    errors = [b.fmul(h, error[0]) for error in error_slopes]
    error = e.norm(errors, e.scales(e.y, new_state))
    if a.directions:
        error = intrinsic(b, "maxnum", error, e.sensitivity_error(h, error_slopes, new_state))
    accepted = b.fcmp_ordered("<=", error, e.splat(1.0))
    _control_step(e, h, last, error, accepted)
    arrival = b.select(last, end, b.fadd(time, h))
    new_time = b.select(accepted, arrival, time)
    e.set_control("time", new_time)
    e.set_control("time_old", b.select(accepted, time, e.control("time_old")))
    e.set_control("step_old", b.select(accepted, h, e.control("step_old")))
    steps = b.fadd(e.control("steps"), e.splat(1.0))
    e.set_control("steps", steps)

    _write_interpolant(e, h, slopes, new_state, accepted)
    e.write_where(accepted, new_state, e.layout.y, e.y)
    e.write_where(accepted, slopes[-1], e.layout.slope, slopes[0])

    arrived = b.and_(accepted, b.fcmp_ordered(">=", new_time, e.control("stop")))
    stuck = b.fcmp_unordered("<", e.control("step"), e.control("smallest_step"))
    spent = b.fcmp_ordered(">=", steps, e.control("steps_limit"))
    b.ret(e.lanes_as_bits(b.or_(arrived, b.or_(stuck, spent))))


def _control_step(
    e: _StepWriter, h: ir.Value, last: ir.Value, error: ir.Value, accepted: ir.Value
) -> None:
    """Set the next step size: PI control where accepted, plain reduction where not."""
    b = e.b
    bounded = intrinsic(b, "maxnum", error, e.splat(1e-10))
    grown = b.fmul(e.power(bounded, -ALPHA), e.power(e.control("error_old"), BETA))
    grown = b.fmul(grown, e.splat(SAFETY))
    grown = intrinsic(
        b, "maxnum", e.splat(SMALLEST), intrinsic(b, "minnum", grown, e.splat(LARGEST))
    )
    # a NaN compares false and so gets the strongest reduction
    finite = b.fcmp_ordered("<", error, e.splat(1e10))
    shrunk = b.fmul(e.power(bounded, -0.2), e.splat(SAFETY))
    shrunk = b.select(finite, intrinsic(b, "maxnum", shrunk, e.splat(SMALLEST)), e.splat(SMALLEST))
    # the last step was shortened to meet the end; the controller keeps the size it had chosen
    following = b.select(last, e.control("step"), b.fmul(h, grown))
    e.set_control("step", b.select(accepted, following, b.fmul(h, shrunk)))
    floor = intrinsic(b, "maxnum", error, e.splat(1e-4))
    e.set_control("error_old", b.select(accepted, floor, e.control("error_old")))


def _write_interpolant(
    e: _StepWriter, h: ir.Value, slopes: Sequence[Any], new_state: Sequence[Any], accepted: ir.Value
) -> None:
    """Write r1 … r5 of `StepPolynomials` where the step was accepted."""
    a, b = e.a, e.b
    columns = []
    for y, new, first, final, correction in zip(
        e.y, new_state, slopes[0], slopes[-1], e.weighted_sum(DENSE, slopes), strict=True
    ):
        r2 = a.subtract(b, new, y)
        r3 = a.subtract(b, a.scale(b, h, first), r2)
        r4 = a.subtract(b, a.subtract(b, r2, a.scale(b, h, final)), r3)
        columns.append((y, r2, r3, r4, a.scale(b, h, correction)))
    numbers = [number for row in zip(*columns, strict=True) for number in row]
    e.write_where(accepted, numbers, e.layout.dense)
