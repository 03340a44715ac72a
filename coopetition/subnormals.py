"""Subnormal numbers taken as zero while a batch is integrated.

What decays exponentially for long (a strategy that lost) ends in numbers below 2e-308, on which
some processors are a hundred times as slow. The switch is the thread's own floating-point control
word.
"""

from __future__ import annotations

from llvmlite import ir

from .arithmetic import INT64, POINTER
from .codegen import function

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
