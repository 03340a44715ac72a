"""Which strategies an evaluator reads, and with what gains: the settings of an observation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping

Key = tuple[str, str]  # (evaluator, metric)

ACCURACY = "in_context_acc"
# evaluator -> sign with which each strategy moves the logit of the answer it counts as right
SIGNS: Mapping[str, Mapping[str, int]] = {
    "train": {"icl": 1, "ciwl": 1, "iwl": 1},
    "icl": {"icl": 1},
    "ciwl": {"ciwl": 1, "iwl": 1},
    "flip": {"icl": 1, "ciwl": -1, "iwl": -1},
}
# evaluator -> strategies without which its curve would be a guess
NEEDS: Mapping[str, frozenset[str]] = {
    "train": frozenset({"icl", "ciwl"}),
    "icl": frozenset({"icl"}),
    "ciwl": frozenset({"ciwl"}),
    "flip": frozenset({"icl", "ciwl"}),
}
# evaluator -> the output whose loss it follows
LOSSES: Mapping[str, str] = {"train": "total", "icl": "icl", "ciwl": "ciwl"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readout:
    """How strengths and losses become curves.

    Parameters
    ----------
    gain_icl, gain_ciwl, gain_iwl
        Logit at full strength.
    flip_gain_icl, flip_gain_ciwl, flip_gain_iwl
        The same on flip; None for the gains above.
    recall_gain, recall_offset
        Logit gain and offset of the ``iwl`` evaluator, which asks among all labels.
    loss_floor_train, loss_scale_train, …
        Floor and scale of a loss curve, in nats.
    sequences_per_time
        Training sequences in a unit of model time.

    Raises
    ------
    ValueError
        If a number is not finite or ``sequences_per_time`` not positive.

    Examples
    --------
    >>> Readout(gain_icl=1.3, gain_ciwl=3.5).separate_flip
    False
    """

    gain_icl: float = 4.0
    gain_ciwl: float = 4.0
    gain_iwl: float = 4.0
    flip_gain_icl: float | None = None
    flip_gain_ciwl: float | None = None
    flip_gain_iwl: float | None = None
    recall_gain: float = 14.0
    recall_offset: float = 7.0
    loss_floor_train: float = 0.0
    loss_scale_train: float = 1.0
    loss_floor_icl: float = 0.0
    loss_scale_icl: float = 1.0
    loss_floor_ciwl: float = 0.0
    loss_scale_ciwl: float = 1.0
    sequences_per_time: float = 1.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{field.name} must be a finite number, not {value!r}")
        if self.sequences_per_time <= 0:
            raise ValueError(
                f"sequences_per_time must be positive, not {self.sequences_per_time!r}"
            )

    @property
    def separate_flip(self) -> bool:
        """Whether flip has gains of its own."""
        return self.flip_gain_icl is not None or self.flip_gain_ciwl is not None

    def gain_name(self, evaluator: str, strategy: str) -> str:
        """The field that holds a strategy's gain on an evaluator."""
        own = f"flip_gain_{strategy}"
        return own if evaluator == "flip" and getattr(self, own) is not None else f"gain_{strategy}"


READOUT_FIELDS = frozenset(field.name for field in dataclasses.fields(Readout))
SHARED_FLIP = Readout()
SEPARATE_FLIP = Readout(flip_gain_icl=4.0, flip_gain_ciwl=4.0)


def is_predicted(strategies: Collection[str], key: Key) -> bool:
    """Whether a model with these strategies predicts the curve ``(evaluator, metric)``.

    Examples
    --------
    >>> is_predicted(["icl"], ("flip", "in_context_acc"))
    False
    """
    evaluator, metric = key
    if metric == "loss":
        needed = {"train": "icl", "icl": "icl", "ciwl": "ciwl"}.get(evaluator)
        return needed in strategies
    if evaluator == "iwl":
        return metric == "acc" and "iwl" in strategies
    return metric == ACCURACY and evaluator in NEEDS and NEEDS[evaluator] <= set(strategies)


def predicted_keys(strategies: Collection[str]) -> tuple[Key, ...]:
    """Every curve that a model with these strategies predicts."""
    keys = [(evaluator, ACCURACY) for evaluator in SIGNS] + [("iwl", "acc")]
    keys += [(evaluator, "loss") for evaluator in LOSSES]
    return tuple(key for key in keys if is_predicted(strategies, key))


def readout_parameters(
    strategies: Collection[str], keys: Iterable[Key], readout: Readout
) -> tuple[str, ...]:
    """Names of the `Readout` fields that these curves depend on, each once."""
    names: dict[str, None] = {}
    for evaluator, metric in keys:
        if metric == "loss":
            names |= dict.fromkeys((f"loss_floor_{evaluator}", f"loss_scale_{evaluator}"))
        elif evaluator == "iwl":
            names |= dict.fromkeys(("recall_gain", "recall_offset"))
        else:
            terms = (s for s in SIGNS[evaluator] if s in strategies)
            names |= dict.fromkeys(readout.gain_name(evaluator, s) for s in terms)
    return tuple(names)
