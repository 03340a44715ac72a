"""The curves that evaluators measure, from a model's strengths and losses.

With strengths s (normalised overlaps, 1 at the target) and gains g, each strategy adds to the logit
of the label in context that it answers with, and the accuracies are

    train = σ(g1 s1 + g2 s2)    icl = σ(g1 s1)    ciwl = σ(g2 s2)    flip = σ(f1 s1 − f2 s2)

f = g unless flip has gains of its own. Pure in-weights learning (iwl) answers with the label that
the query's class had in training, as CIWL does; its own evaluator asks for one label among all,
with accuracy σ(r s3 − o). A loss is floor + scale · the model's loss. Model time becomes sequences
here and nowhere else: sequences = sequences_per_time · time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import unknown_name

Key = tuple[str, str]  # (evaluator, metric)

ACCURACY = "in_context_acc"
# evaluator -> the sign of each strategy in the logit of the answer that counts as right
SIGNS: Mapping[str, Mapping[str, int]] = {
    "train": {"icl": 1, "ciwl": 1, "iwl": 1},
    "icl": {"icl": 1},
    "ciwl": {"ciwl": 1, "iwl": 1},
    "flip": {"icl": 1, "ciwl": -1, "iwl": -1},
}
# evaluator -> the strategies that a model needs to predict its curve
NEEDS: Mapping[str, frozenset[str]] = {e: frozenset(signs) - {"iwl"} for e, signs in SIGNS.items()}
# evaluator -> the output from which its loss is read
LOSSES: Mapping[str, str] = {"train": "total", "icl": "icl", "ciwl": "ciwl"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readout:
    """How strengths and losses become curves.

    Parameters
    ----------
    gain_icl, gain_ciwl, gain_iwl
        Logit at full strength.
    flip_gain_icl, flip_gain_ciwl, flip_gain_iwl
        The gains of flip where they differ; None for those above.
    recall_gain, recall_offset
        Logit gain and offset of the ``iwl`` evaluator, which asks for one label among all.
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
        for name, value in vars(self).items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value!r}")
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
        flip = f"flip_gain_{strategy}"
        separate = evaluator == "flip" and getattr(self, flip) is not None
        return flip if separate else f"gain_{strategy}"


READOUT_FIELDS = frozenset(field.name for field in dataclasses.fields(Readout))
SHARED_FLIP = Readout()
SEPARATE_FLIP = Readout(flip_gain_icl=4.0, flip_gain_ciwl=4.0)


def is_predicted(strategies: Collection[str], key: Key) -> bool:
    """Whether a model with these strategies predicts the curve ``(evaluator, metric)``."""
    evaluator, metric = key
    if metric == "loss":
        return evaluator in LOSSES and ("icl" if evaluator == "train" else evaluator) in strategies
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
    names: list[str] = []
    for evaluator, metric in keys:
        if metric == "loss":
            names += (f"loss_floor_{evaluator}", f"loss_scale_{evaluator}")
        else:
            names += _gain_fields(evaluator, strategies, readout).values()
            names += ("recall_offset",) if evaluator == "iwl" else ()
    return tuple(dict.fromkeys(names))


def _gain_fields(
    evaluator: str, strategies: Collection[str], readout: Readout
) -> Mapping[str, str]:
    """The `Readout` field of each strategy's gain in an accuracy."""
    if evaluator == "iwl":
        return {"iwl": "recall_gain"}
    return {s: readout.gain_name(evaluator, s) for s in SIGNS[evaluator] if s in strategies}


def logistic(logit: Array) -> Array:
    """σ(u) = 1/(1 + e^{−u}) without overflow."""
    value = np.asarray(0.5 * logit)  # 0.5 (1 + tanh(u/2)), in place
    np.tanh(value, out=value)
    value += 1.0
    value *= 0.5
    return value


class Accuracy(NamedTuple):
    """An accuracy ``(…, time)``, and each strategy's weight in its logit: the gain, signed."""

    value: Array
    weights: Mapping[str, Any]

    @property
    def slope(self) -> Array:
        """The derivative with respect to the logit."""
        return self.value * (1.0 - self.value)


def accuracy(
    signs: Mapping[str, int],
    gains: Mapping[str, Any],
    strengths: Mapping[str, Array],
    offset: float = 0.0,
) -> Accuracy:
    """σ(Σ sign · gain · strength − offset) over the strategies that have both a sign and a gain."""
    weights = {s: sign * gains[s] for s, sign in signs.items() if s in gains}
    logit: Any = -offset
    for s, weight in weights.items():
        logit += weight * strengths[s]
    return Accuracy(logistic(logit), weights)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """A curve ``(…, time)`` and its derivatives with respect to outputs and `Readout` fields."""

    value: Array
    by_output: Mapping[str, Array]
    by_parameter: Mapping[str, Array]


def read(
    key: Key, outputs: Mapping[str, Array], strategies: Collection[str], readout: Readout
) -> Reading:
    """One predicted curve from outputs, ``(…, time)`` each, with its exact derivatives."""
    if not is_predicted(strategies, key):
        known = ("/".join(k) for k in predicted_keys(strategies))
        raise unknown_name("predicted curve", "/".join(key), known)
    evaluator, metric = key
    if metric == "loss":
        floor, scale = f"loss_floor_{evaluator}", f"loss_scale_{evaluator}"
        factor, name = getattr(readout, scale), LOSSES[evaluator]
        loss = outputs[name]
        return Reading(
            value=getattr(readout, floor) + factor * loss,
            by_output={name: np.full_like(loss, factor)},
            by_parameter={floor: np.ones_like(loss), scale: loss},
        )
    recall = evaluator == "iwl"
    signs = {"iwl": 1} if recall else SIGNS[evaluator]
    fields = _gain_fields(evaluator, strategies, readout)
    strengths = {s: outputs[f"{s}_strength"] for s in fields}
    gains = {s: getattr(readout, field) for s, field in fields.items()}
    reading = accuracy(signs, gains, strengths, readout.recall_offset if recall else 0.0)
    slope = reading.slope
    by_parameter = {field: slope * signs[s] * strengths[s] for s, field in fields.items()}
    if recall:
        by_parameter["recall_offset"] = -slope
    return Reading(
        value=reading.value,
        by_output={f"{s}_strength": slope * weight for s, weight in reading.weights.items()},
        by_parameter=by_parameter,
    )
