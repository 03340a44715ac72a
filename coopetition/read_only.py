"""What results are made of: mappings and arrays that cannot be written to, nor in their copies.

`types.MappingProxyType` can be neither pickled, copied nor hashed, and NumPy's arrays are writable
again once they are; both matter to whoever works with many processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")
Value = TypeVar("Value", covariant=True)


class ReadOnlyMapping(Mapping[Key, Value]):
    """A mapping that stays what it is; equal to any mapping of the same items.

    Parameters
    ----------
    items
        A mapping, or pairs of key and value.

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

    # the views of a dictionary, which unlike those of `Mapping` are reversible
    def keys(self) -> KeysView[Key]:
        """The keys, in their order."""
        return self._items.keys()

    def values(self) -> ValuesView[Value]:
        """The values, in the keys' order."""
        return self._items.values()

    def items(self) -> ItemsView[Key, Value]:
        """Pairs of key and value, in their order."""
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

    Pickles and copies hold the fields alone; what is derived from them is derived again.
    """

    def __post_init__(self) -> None:
        self.__setstate__(self.__getstate__())

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update({name: _read_only(value) for name, value in state.items()})


def _read_only(value: Any) -> Any:
    """An array as a view that cannot be written to; anything else as it is."""
    if isinstance(value, np.ndarray) and value.flags.writeable:
        value = value.view()
        value.flags.writeable = False
    elif type(value) is dict and any(isinstance(v, np.ndarray) for v in value.values()):
        return {key: _read_only(inner) for key, inner in value.items()}
    return value
