"""Names in settings that are not read, but look as if they should be.

Settings of a log may hold much that no map reads, so an unknown name is no error. One that is
nearly the name of a setting, or our trainer's dotted name of one, is told of.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from ..logs.settings import OURS

# what covariates, kinds of data and kinds of training are made of
READ = (
    *(name for name in OURS if name not in ("heads", "seed")),
    "match_error", "probe_error", "data_kind", "data", "start", "intervention",
)  # fmt: skip
_DOTTED = {path: name for name, path in OURS.items() if name in READ}
SIMILAR = 0.85  # of letters that a misspelt name shares with the right one
BEGINNING = 7  # letters that a name cut short has at least, and half of the whole


def not_read(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each name that is not read but looks like a setting's.

    Parameters
    ----------
    settings
        As in `Curves.settings`. Sections of a settings file of our trainer are looked into.

    Examples
    --------
    >>> not_read({"n_class": 1600, "sequences.match_probability": 1.0, "epochs": 3})[0]
    "setting 'n_class' is not read: did you mean n_classes?"
    >>> not_read({"sequences": {"match_probability": 1.0}})
    ("setting 'sequences.match_probability' is not read: write it as match_probability",)
    """
    return tuple(_found(settings))


def _found(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        inside = {f"{name}.{n}": v for n, v in value.items()} if isinstance(value, Mapping) else {}
        for dotted, said in {str(name): value, **inside}.items():
            short = _DOTTED.get(dotted)
            if short is not None and settings.get(short) != said:
                yield f"setting {dotted!r} is not read: write it as {short}"
        meant = _meant(str(name))
        if meant is not None:
            yield f"setting {str(name)!r} is not read: did you mean {meant}?"


@functools.lru_cache(maxsize=1000)
def _meant(name: str) -> str | None:
    """The setting whose name this one nearly is; None for names that are read, or unlike all."""
    if name in READ:
        return None
    plain = {_letters(known): known for known in READ}
    own = _letters(name)
    near = difflib.get_close_matches(own, plain, n=1, cutoff=SIMILAR)
    if len(own) >= BEGINNING:
        near += [known for known in plain if known.startswith(own) and 2 * len(own) >= len(known)]
    return plain[near[0]] if near else None


def _letters(name: str) -> str:
    """A name without what separates its words."""
    return "".join(c for c in name.lower() if c.isalnum())
