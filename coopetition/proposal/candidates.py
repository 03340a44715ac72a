"""Candidates near a base: each setting moved alone, at several levels, and several together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import unknown_name
from .moves import Move, cost_of

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """Changes to a base, and what they cost."""

    changes: Mapping[str, float]  # new values by setting; a setting that stays is not among them
    cost: float  # in the units of `Move.price`

    def settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The base with the changes."""
        return {**base, **self.changes}


def candidates(
    base: Mapping[str, Any],
    moves: Sequence[Move],
    *,
    count: int = 200,
    levels: int = 8,
    seed: int = 0,
) -> tuple[Candidate, ...]:
    """Changes worth looking at, without repetitions, the cheapest first.

    Parameters
    ----------
    base
        Settings by short name.
    moves
        What may move.
    count
        About how many in all.
    levels
        Values of each setting that are tried alone.
    seed
        Of the scrambled Sobol sequence that mixtures come from. Two settings are moved in half of
        the mixtures, any number in the others.

    Raises
    ------
    ValueError
        If nothing may move, or the base lacks a setting that may.

    Examples
    --------
    >>> move = Move(setting="match_probability", lower=0.0, upper=1.0, unit=0.5)
    >>> [c.changes for c in candidates({"match_probability": 0.0}, [move], levels=2)]
    [{'match_probability': 0.5}, {'match_probability': 1.0}]
    """
    from scipy.stats import qmc

    if not moves:
        raise ValueError("no setting may move: name at least one")
    for move in moves:
        if move.setting not in base:
            raise unknown_name("setting of the base", move.setting, base)
    by_name = {move.setting: move for move in moves}
    distinct: dict[tuple[tuple[str, float], ...], Candidate] = {}

    def add(values: Mapping[str, float]) -> None:
        changes = {n: v for n, v in values.items() if not by_name[n].near(v, float(base[n]))}
        if changes:
            key = tuple(sorted(changes.items()))
            distinct[key] = Candidate(changes=changes, cost=cost_of(moves, base, changes))

    for move in moves:
        for level in range(levels + 1):
            add({move.setting: move.at(level / levels)})
    missing = count - len(distinct)
    if len(moves) > 1 and missing > 0:
        power = max(1, int(np.ceil(np.log2(missing))))
        draws = qmc.Sobol(len(moves) + 1, rng=np.random.default_rng(seed)).random_base2(power)
        for draw in draws[:missing]:
            add(_mixture(moves, draw))
    return tuple(sorted(distinct.values(), key=lambda candidate: candidate.cost))


def _mixture(moves: Sequence[Move], draw: Array) -> dict[str, float]:
    """Two settings where the last number is below ½, else all; shape ``(moves + 1,)``."""
    pairs = [(i, j) for i in range(len(moves)) for j in range(i)]
    chosen = pairs[int(2 * draw[-1] * len(pairs))] if draw[-1] < 0.5 else range(len(moves))
    return {moves[i].setting: moves[i].at(float(draw[i])) for i in chosen}
