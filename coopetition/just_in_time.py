"""Python loops as machine code, made by numba at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """A function as numba compiles it, kept on disk where numba finds a place for that.

    Parameters
    ----------
    function
        Of arrays and numbers.
    options
        As `numba.njit` takes them.
    """
    import numba

    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # neither the package's folder nor the home can be written: compiled in each process
        return numba.njit(**options)(function)


def compile_for(function: Any, arguments: tuple[Any, ...]) -> None:
    """Have the machine code of a compiled function made before it is called.

    For code that is called while subnormal numbers are flushed to zero, where Python should not
    run. Does nothing for a plain function, and for one that was compiled before.
    """
    if getattr(function, "signatures", True):
        return
    import numba

    function.compile(tuple(numba.typeof(argument) for argument in arguments))
