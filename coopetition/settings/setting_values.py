"""Numbers out of settings, each a function from a run's settings; None where they do not say."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

Value = Callable[[Mapping[str, Any]], float | None]

# what is left of mu1 where every exemplar is matched, relative to where none is
UNMATCHED_ERROR = 0.02
COUPLED, DECOUPLED = 1e-3, 0.1  # weight decay that makes a difference, by kind
NO_ERROR = 0.005  # measured errors below this are as good as none
# ranges of numbers; those not named here are at least 0
POSITIVE = (
    "n_classes", "n_exemplars", "depth", "width", "lr", "batch_size", "spread", "context_len",
    "burstiness",
)  # fmt: skip
SHARES = ("match_probability", "label_noise")


def number(settings: Mapping[str, Any], name: str) -> float | None:
    """A setting that is a number, None where settings do not say it.

    Raises
    ------
    ValueError
        If it is no number (text, a list, not finite), or outside its range.
    """
    value = settings.get(name)
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        quotes = ", without quotes" if isinstance(value, str) else ""
        raise ValueError(f"setting {name} = {value!r}: give a single number{quotes}")
    found = float(value)
    if name in POSITIVE:
        fits, must = found > 0, "must be positive to be compared with others"
    elif name in SHARES:
        fits, must = 0 <= found <= 1, "must lie in [0, 1]"
    else:
        fits, must = found >= 0, "must be at least 0"
    if not math.isfinite(found):
        fits, must = False, "must be finite; leave it out where it is not known"
    if not fits:
        raise ValueError(f"setting {name} = {found:g}: {must}")
    return found


def log2_of(name: str, base: float) -> Value:
    """Doublings from the base's value."""

    def value(settings: Mapping[str, Any]) -> float | None:
        found = number(settings, name)
        return None if found is None else math.log2(found / base)

    return value


def plain(name: str, function: Callable[[float], float] = float) -> Value:
    """A setting, or a function of it."""

    def value(settings: Mapping[str, Any]) -> float | None:
        found = number(settings, name)
        return None if found is None else function(found)

    return value


def error(name: str, base: float) -> Value:
    """Logarithm of a measured error over the base's."""

    def value(settings: Mapping[str, Any]) -> float | None:
        found = number(settings, name)
        return None if found is None else math.log((found + NO_ERROR) / (base + NO_ERROR))

    return value


def matched(share: float) -> float:
    """Logarithm of the share of sequences that are not matched, an error added."""
    return math.log((1.0 - share + UNMATCHED_ERROR) / (1.0 + UNMATCHED_ERROR))


def decay(part: str, decoupled: bool) -> Value:
    """Weight decay of one kind on one part of the network, 0 where it is of another."""

    def value(settings: Mapping[str, Any]) -> float | None:
        rate = number(settings, "weight_decay")
        if rate is None:
            return None
        kind = settings.get("weight_decay_kind")
        apart = settings.get("optimizer") == "adamw" or kind == "decoupled"
        here = settings.get("weight_decay_on", "all") == part and apart == decoupled
        return math.asinh(rate / (DECOUPLED if decoupled else COUPLED)) if here else 0.0

    return value


def time_scale(settings: Mapping[str, Any]) -> float | None:
    """Logarithm of batch size over learning rate, 0 at the base."""
    lr, batch = number(settings, "lr"), number(settings, "batch_size")
    if lr is None or batch is None:
        return None
    return math.log(batch / 32.0) - math.log(lr / 1e-5)


def fixed_positions(settings: Mapping[str, Any]) -> float | None:
    """Whether positions are not learned, of networks of at most 2 layers."""
    depth = number(settings, "depth")
    if depth is None or settings.get("positions") is None:
        return None
    return float(settings["positions"] != "learned" and depth <= 2)
