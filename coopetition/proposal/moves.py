"""Settings that may move, how far and at what cost; the candidates that moves make of a base."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import unknown_name
from ..settings.names import short_names
from ..settings.training import BY_SHORT_NAME, TrainingSettings

DIGITS = 2  # significant digits of a proposed number: nobody trains 3,187 classes
FACTOR = 4.0  # by which a number on a logarithmic scale may move either way by default
NEAR = 0.04  # share of the range below which a change does not count
CHANGE = 0.1  # cost of changing a setting at all, so that few large changes beat many small ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Move:
    """A setting that may move, between which values and at what price.

    Raises
    ------
    ValueError
        If the range is empty, holds no such whole number or, on a logarithmic scale, does not start
        above 0; or if the price is negative.

    Examples
    --------
    >>> match = Move(setting="match_probability", lower=0.0, upper=1.0, unit=0.5)
    >>> match.cost(0.0, 1.0)
    2.1
    """

    setting: str  # its short name, as in `Curves.settings`
    lower: float  # end of the range, included
    upper: float  # end of the range, included
    log: bool = False  # whether equal ratios count as equal moves, rather than equal differences
    whole: bool = False  # whether it is a whole number ...
    multiple: int = 1  # ... and a multiple of this, as a width is of the number of heads
    unit: float = 1.0  # of distance, which on a logarithmic scale is counted in doublings
    price: float = 1.0  # of a move by one unit, besides `CHANGE` for moving at all

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and self.lower < self.upper < math.inf):
            raise ValueError(
                f"{self.setting} may move from {self.lower:g} to {self.upper:g}: give a range with "
                "its lower end first"
            )
        if self.log and self.lower <= 0:
            raise ValueError(
                f"{self.setting} from {self.lower:g}: a logarithmic range starts above 0"
            )
        least, most = self._ends
        if self.whole and least > most:
            kind = "whole number" if self.multiple == 1 else f"multiple of {self.multiple}"
            raise ValueError(
                f"{self.setting} from {self.lower:g} to {self.upper:g}: the range holds no {kind}; "
                "widen it"
            )
        if not (self.price >= 0 and self.unit > 0):
            raise ValueError(f"{self.setting}: price {self.price:g} must not be negative")

    @property
    def _ends(self) -> tuple[float, float]:
        """The smallest and largest value in the range that the setting can take."""
        if not self.whole:
            return self.lower, self.upper
        below, above = self.lower / self.multiple, self.upper / self.multiple
        return float(math.ceil(below) * self.multiple), float(math.floor(above) * self.multiple)

    def at(self, share: float) -> float:
        """The value at a share of the range, with few digits."""
        if self.log:
            value = float(f"{self.lower * (self.upper / self.lower) ** share:.{DIGITS}g}")
        else:
            width = self.upper - self.lower
            digits = max(0, DIGITS - math.floor(math.log10(width)))
            value = round(self.lower + share * width, digits)
        if self.whole:
            value = float(round(value / self.multiple) * self.multiple)
        least, most = self._ends
        return min(max(value, least), most)

    def distance(self, before: float, after: float) -> float:
        """The distance between values: doublings on a logarithmic scale, else the difference.

        A `ValueError` refuses a first value on a logarithmic scale that is not positive.
        """
        if not self.log:
            return after - before
        if before <= 0:
            raise ValueError(
                f"{self.setting} is {before:g} in the base and cannot move by a factor: give its "
                "range without log"
            )
        return math.log2(after / before)

    def near(self, value: float, other: float) -> bool:
        """Whether the change from one value to the other is too small to count."""
        share = self.distance(other, value) / self.distance(self.lower, self.upper)
        return abs(share) < NEAR

    def cost(self, before: float, after: float) -> float:
        """The cost of a move from one value to another."""
        if after == before:
            return 0.0
        return CHANGE + self.price * abs(self.distance(before, after)) / self.unit


_DECLARED = {name: one.move for name, one in BY_SHORT_NAME.items() if one.move is not None}
# those that move by default come first
_MOVES = dict(sorted(_DECLARED.items(), key=lambda pair: pair[1].usual or math.inf))
MOVABLE = tuple(_MOVES)
DEFAULT = tuple(name for name, move in _MOVES.items() if move.usual)


def default_moves(
    base: Mapping[str, Any] | TrainingSettings, names: Sequence[str] = DEFAULT
) -> tuple[Move, ...]:
    """Moves of the named settings around a base; settings that the base lacks are left out.

    Parameters
    ----------
    base
        Settings by short name, or our trainer's.
    names
        Which may move.

    Raises
    ------
    ValueError
        If a setting cannot be moved; the message names the nearest that can.

    Examples
    --------
    >>> [move.setting for move in default_moves({"n_classes": 3200, "match_probability": 0.0})]
    ['match_probability', 'n_classes']
    """
    base = short_names(base)
    moves = []
    for name in names:
        if name not in _MOVES:
            raise unknown_name("setting to move", name, _MOVES)
        move, whole, value = _MOVES[name], BY_SHORT_NAME[name].whole, base.get(name)
        if not isinstance(value, int | float) or (move.log and value <= 0):
            continue
        lower = value / FACTOR if move.lower is None else move.lower
        upper = value * FACTOR if move.upper is None else move.upper
        moves.append(
            Move(
                setting=name,
                lower=max(1.0, round(lower)) if whole else lower,
                upper=round(upper) if whole else upper,
                log=move.log,
                whole=whole,
                multiple=1 if move.multiple is None else move.multiple(base),
                unit=move.unit,
            )
        )
    return tuple(moves)


def price_words() -> str:
    """The unit of distance by setting: ``in factors of 2 (n_classes, …), else in units of …``."""
    by_unit: dict[float, list[str]] = {}
    factors = [name for name, move in _MOVES.items() if move.log]
    for name, move in _MOVES.items():
        if not move.log:
            by_unit.setdefault(move.unit, []).append(name)
    *units, last = (f"{unit:g} ({', '.join(names)})" for unit, names in by_unit.items())
    several = f"{', '.join(units)} or {last}"
    return f"in factors of 2 ({', '.join(factors)}), else in units of {several}"


def parse_move(text: str, base: Mapping[str, Any]) -> Move:
    """A move written ``name``, ``name=lower:upper`` or ``name=log:lower:upper``, then ``@price``.

    Raises
    ------
    ValueError
        If the text has another form, or the base lacks the number or has 0 on a logarithmic scale.

    Examples
    --------
    >>> parse_move("n_classes=1600:12800@3", {"n_classes": 3200}).price
    3.0
    """
    head, _, price_text = text.partition("@")
    name, _, range_text = head.partition("=")
    moves = default_moves(base, [name])
    if not moves:
        raise ValueError(
            f"--move {text}: the base has no number {name} to move; add it to the base"
        )
    (move,) = moves
    form = "write name=lower:upper@price, e.g. match_probability=0:1@2"
    try:
        if price_text:
            move = dataclasses.replace(move, price=float(price_text))
        if range_text:
            parts = range_text.split(":")
            log = parts[0] == "log"
            lower, upper = (float(part) for part in parts[int(log) :])
            unit = 1.0 if log else move.unit
            move = dataclasses.replace(
                move, lower=lower, upper=upper, log=move.log or log, unit=unit
            )
            move.distance(float(base[name]), move.upper)  # refuses a base of 0
    except ValueError as error:
        raise ValueError(f"--move {text}: {error}; {form}") from None
    return move


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """Changes to a base, and what they cost."""

    changes: Mapping[str, float]  # new values of the settings that change
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
    """Distinct changes of a base, the cheapest first.

    Parameters
    ----------
    base
        Settings by short name.
    moves
        The settings that may move.
    count
        About how many candidates.
    levels
        Values of each setting that are tried alone.
    seed
        Of the scrambled Sobol sequence that moves several settings together: two of them in half
        of the cases, any number in the others.

    Raises
    ------
    ValueError
        If there are no moves, or the base lacks a setting that may move.

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
        start = {name: float(base[name]) for name in values}
        changes = {n: v for n, v in values.items() if not by_name[n].near(v, start[n])}
        if changes:
            cost = sum(by_name[n].cost(start[n], changes[n]) for n in by_name if n in changes)
            distinct[tuple(sorted(changes.items()))] = Candidate(changes=changes, cost=cost)

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
    """Values at a draw ``(moves + 1,)``: of two settings if its last is below ½, else of all."""
    pairs = [(i, j) for i in range(len(moves)) for j in range(i)]
    chosen = pairs[int(2 * draw[-1] * len(pairs))] if draw[-1] < 0.5 else range(len(moves))
    return {moves[i].setting: moves[i].at(float(draw[i])) for i in chosen}
