"""Arrays as all rooms use them: read-only in results, stored in files, as graded times, in numba.

`ReadOnlyMapping` and `ReadOnlyArrays` stay read-only through pickling and copying:
`types.MappingProxyType` can be neither pickled, copied nor hashed, and a copy of a read-only NumPy
array is writable.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Key = TypeVar("Key")
Value = TypeVar("Value", covariant=True)


class ReadOnlyMapping(Mapping[Key, Value]):
    """A mapping that cannot be changed; equal to any mapping of the same items.

    Examples
    --------
    >>> ReadOnlyMapping({"a": 20}) == {"a": 20}
    True
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[Key, Value] | Iterable[tuple[Key, Value]]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: Key) -> Value:
        return self._items[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    # a dictionary's views, which unlike those of `Mapping` are reversible
    def keys(self) -> KeysView[Key]:
        return self._items.keys()

    def values(self) -> ValuesView[Value]:
        return self._items.values()

    def items(self) -> ItemsView[Key, Value]:
        return self._items.items()

    def __reversed__(self) -> Iterator[Key]:
        return reversed(self._items)

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**other, **self}

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._items,)


class ReadOnlyArrays:
    """Base of dataclasses whose arrays, also those in dictionaries, cannot be written to.

    Pickles and copies hold the fields alone, without cached properties.
    """

    def __post_init__(self) -> None:
        self.__setstate__(self.__getstate__())

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update({name: _read_only(value) for name, value in state.items()})


def _read_only(value: Any) -> Any:
    """A read-only view of an array, or a dictionary of such views; anything else as it is."""
    if isinstance(value, np.ndarray) and value.flags.writeable:
        value = value.view()
        value.flags.writeable = False
    elif type(value) is dict and any(isinstance(v, np.ndarray) for v in value.values()):
        return {key: _read_only(inner) for key, inner in value.items()}
    return value


class FromLists:
    """Tells pydantic to read an array from nested lists, with null for NaN."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self.dtype = dtype

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def read(value: Any) -> NDArray[Any]:
            try:
                return np.array(value, dtype=self.dtype)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError("not an array of numbers") from error

        return core_schema.no_info_plain_validator_function(read)


StoredArray = Annotated[Array, FromLists(np.float64)]
StoredPositions = Annotated[NDArray[np.intp], FromLists(np.intp)]

# the bend of grids in sequences at the base time scale (learning rate 1e-5, batch 32): ICL has
# emerged by then
GRADING = 4e6


def graded_grid(end: float, bend: float, steps: int) -> Array:
    """Times from 0 to ``end``, ``(steps + 1,)``: equal steps before ``bend``, equal ratios after.

    Time i is bend · sinh(i u / steps) with u = asinh(end / bend). Raises `ValueError` unless end
    and bend are positive numbers.

    Examples
    --------
    >>> graded_grid(100.0, 1e9, 4).round(3).tolist()
    [0.0, 25.0, 50.0, 75.0, 100.0]
    >>> graded_grid(100.0, 1.0, 4).round(1).tolist()
    [0.0, 1.7, 7.0, 26.6, 100.0]
    """
    for name, value in (("end", end), ("bend", bend)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value!r}: must be a positive number")
    times = bend * np.sinh(np.linspace(0.0, math.asinh(end / bend), steps + 1))
    times[-1] = end
    return np.asarray(times)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """A function compiled by ``numba.njit(**options)``, cached on disk where numba can write."""
    import numba

    chosen = Path(numba.config.CACHE_DIR or ".")  # NUMBA_CACHE_DIR; else numba's own choice
    if numba.config.CACHE_DIR and chosen.exists() and not is_private(chosen.stat()):
        return numba.njit(**options)(function)  # others could put code there
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # numba can write neither to the package's folder nor to the home: compile in each process
        return numba.njit(**options)(function)


def compile_for(function: Any, arguments: tuple[Any, ...]) -> None:
    """Compile a `jit` function for these arguments if it is not compiled yet.

    Compile before subnormal numbers are flushed to zero: the compiler should not run in that mode.
    """
    if getattr(function, "signatures", True):
        return
    import numba

    function.compile(tuple(numba.typeof(argument) for argument in arguments))


def is_private(about: os.stat_result) -> bool:
    """Whether a file or folder is the user's own and nobody else may write it (POSIX)."""
    if not hasattr(os, "geteuid"):
        return True
    return about.st_uid == os.geteuid() and not about.st_mode & 0o022
