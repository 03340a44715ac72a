"""Which settings may move, how far, and what a move costs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import unknown_name
from ..settings.names import short_names
from ..settings.training import BY_SHORT_NAME, TrainingSettings

DIGITS = 2  # significant digits of a proposed number: nobody trains 3,187 classes
FACTOR = 4.0  # how far a number on a logarithmic scale may move by default, either way
NEAR = 0.04  # share of the range below which a change is none
CHANGE = 0.1  # cost of touching a setting at all, so that few large changes beat many small ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Move:
    """A setting that may move, between which values and at what price.

    Raises
    ------
    ValueError
        If the range is empty or holds no such whole number, is negative on a logarithmic scale, or
        the price is.

    Examples
    --------
    >>> match = Move(setting="match_probability", lower=0.0, upper=1.0, unit=0.5)
    >>> match.cost(0.0, 1.0)
    2.1
    """

    setting: str  # its short name, as in `Curves.settings`
    lower: float  # between which values, ends included
    upper: float
    log: bool = False  # whether equal ratios count as equal moves, not equal differences
    whole: bool = False  # whether it is a whole number ...
    multiple: int = 1  # ... and of what a multiple, such as a width of the number of heads
    unit: float = 1.0  # of distance: doublings on a logarithmic scale, else such as half of a share
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
        low, high = self._ends
        if self.whole and low > high:
            kind = "whole number" if self.multiple == 1 else f"multiple of {self.multiple}"
            raise ValueError(
                f"{self.setting} from {self.lower:g} to {self.upper:g}: holds no {kind}; widen it"
            )
        if not (self.price >= 0 and self.unit > 0):
            raise ValueError(f"{self.setting}: price {self.price:g} must not be negative")

    @property
    def _ends(self) -> tuple[float, float]:
        """The least and the largest value of the range that the setting can have."""
        if not self.whole:
            return self.lower, self.upper
        below, above = self.lower / self.multiple, self.upper / self.multiple
        return float(math.ceil(below) * self.multiple), float(math.floor(above) * self.multiple)

    def at(self, share: float) -> float:
        """The value at a share of the range, with few digits."""
        if self.log:
            value = self.lower * (self.upper / self.lower) ** share
        else:
            value = self.lower + share * (self.upper - self.lower)
        return self.tidy(value)

    def tidy(self, value: float) -> float:
        """The value with few digits, within the range."""
        if self.log:
            value = float(f"{value:.{DIGITS}g}")
        else:
            value = round(value, max(0, DIGITS - math.floor(math.log10(self.upper - self.lower))))
        value = float(round(value / self.multiple) * self.multiple) if self.whole else value
        low, high = self._ends
        return min(max(value, low), high)

    def distance(self, before: float, after: float) -> float:
        """How far one value is from another: doublings on a logarithmic scale, else the difference.

        ValueError if the scale is logarithmic and the first value is not positive.
        """
        if not self.log:
            return after - before
        if before <= 0:
            raise ValueError(
                f"{self.setting} is {before:g} in the base, and no factor leads from there to "
                f"{after:g}: give its range without log"
            )
        return math.log2(after / before)

    def near(self, value: float, other: float) -> bool:
        """Whether two values are nearer than is worth a change."""
        share = self.distance(other, value) / self.distance(self.lower, self.upper)
        return abs(share) < NEAR

    def cost(self, before: float, after: float) -> float:
        """What it costs to go from one value to another."""
        if after == before:
            return 0.0
        return CHANGE + self.price * abs(self.distance(before, after)) / self.unit


_DECLARED = {name: one.move for name, one in BY_SHORT_NAME.items() if one.move is not None}
# those that move where none is named come first
_MOVES = dict(sorted(_DECLARED.items(), key=lambda pair: pair[1].usual or math.inf))
MOVABLE = tuple(_MOVES)
DEFAULT = tuple(name for name, move in _MOVES.items() if move.usual)


def default_moves(
    base: Mapping[str, Any] | TrainingSettings, names: Sequence[str] = DEFAULT
) -> tuple[Move, ...]:
    """Moves of the named settings around a base; those the base does not have are left out.

    Parameters
    ----------
    base
        Settings by short name, or our trainer's.
    names
        Which may move.

    Raises
    ------
    ValueError
        If a setting is not one that can be moved; the message names the nearest.

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
    """What a price buys, by setting: ``in factors of 2 (n_classes, …), else in units of …``."""
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
        If the text has another form, or the base has no such number, or 0 on a logarithmic scale.

    Examples
    --------
    >>> parse_move("n_classes=1600:12800@3", {"n_classes": 3200}).price
    3.0
    """
    head, _, price_text = text.partition("@")
    name, _, range_text = head.partition("=")
    moves = default_moves(base, [name])
    if not moves:
        raise ValueError(f"--move {text}: the base has no number {name} to move; add it there")
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


def cost_of(moves: Sequence[Move], base: Mapping[str, Any], changes: Mapping[str, Any]) -> float:
    """The cost of changes to a base, added up."""
    return sum(
        move.cost(float(base[move.setting]), float(changes[move.setting]))
        for move in moves
        if move.setting in changes
    )
