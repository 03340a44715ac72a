"""Training settings as numbers that effects multiply: 0 at the base, the paper's 2-layer run.

Settings of published runs, of our trainer and of the reference's logs share one set of names
(`coopetition.logs`). Covariates of one setting are declared with it (`InMaps`), those of several
here. What settings do not say is not guessed: the covariate is unknown, with a spread that widens
every prediction.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..curves.curve import head_start as head_start  # read by those who read covariates
from .schema import InMaps
from .training import BY_SHORT_NAME

UNKNOWN_KIND = "unknown"
DECAYING = ("all", "attention", "embeddings")  # parts whose weight decay has a covariate
COUPLED, DECOUPLED = 1e-3, 0.1  # weight decay that makes a difference, by kind
USUAL_ERROR = 0.1  # a measured error at the base ...
NO_ERROR = 0.005  # ... and one below which it is as good as none
DIGITS = 9  # decimals of a covariate
BASE_KIND = "omniglot"  # image features of drawn characters, the published runs' data
# in the order of the shipped maps' numbers; covariates that came later follow as they are declared
ORDER = (
    "classes", "exemplars", "matching", "matched_share", "mlp", "one_layer", "depth",
    "fixed_positions", "width", "time_scale", "head_start", "spread", "context", "burstiness",
    "zipf", "label_noise", "input_noise", "weight_decay", "attention_decay", "embedding_decay",
    "decoupled_decay", "decoupled_attention_decay", "decoupled_embedding_decay", "match_error",
    "probe_error",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Covariate:
    """One number made of settings, 0 at the base."""

    name: str
    meaning: str  # what one unit of it is, in words
    of: tuple[str, ...]  # the settings it is made of, by short name
    value: Callable[[Mapping[str, Any]], float | None]  # of settings; None where they do not say
    unknown: float = 0.0  # standard deviation where settings do not say it; 0: 0 may be assumed
    reach: float  # how far one unit can move a parameter, in its `setting_spread`
    # expected effects that have a direction, by parameter: mean and standard deviation of the
    # change of its logarithm by one unit
    effects: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


def number(settings: Mapping[str, Any], name: str) -> float | None:
    """A setting that is a number, None where settings do not say it; refused outside its range."""
    value = settings.get(name)
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        quotes = ", without quotes" if isinstance(value, str) else ""
        raise ValueError(f"setting {name} = {value!r}: give a single number{quotes}")
    said, declared = float(value), BY_SHORT_NAME.get(name)
    if not math.isfinite(said):
        fits, must = False, "must be finite; leave it out where it is not known"
    elif declared is not None and declared.positive:
        fits, must = said > 0, "must be positive to be compared with others"
    elif declared is not None and declared.largest < math.inf:
        fits, must = 0 <= said <= declared.largest, f"must lie in [0, {declared.largest:g}]"
    else:
        fits, must = said >= 0, "must be at least 0"
    if not fits:
        raise ValueError(f"setting {name} = {said:g}: {must}")
    return said


def _of_one(settings: Mapping[str, Any], name: str, use: InMaps) -> float | None:
    """The covariate that a single setting makes."""
    said = number(settings, name)
    if said is None:
        return 0.0 if use.assumed else None
    return use.transform(said)


def _decay(settings: Mapping[str, Any], part: str, decoupled: bool) -> float | None:
    """Weight decay of one kind on one part of the network, 0 where it is of another."""
    rate = number(settings, "weight_decay")
    if rate is None:
        return None
    kind = settings.get("weight_decay_kind")
    apart = settings.get("optimizer") == "adamw" or kind == "decoupled"
    here = settings.get("weight_decay_on", "all") == part and apart == decoupled
    return math.asinh(rate / (DECOUPLED if decoupled else COUPLED)) if here else 0.0


def _time_scale(settings: Mapping[str, Any]) -> float | None:
    """Logarithm of batch size over learning rate, 0 at the base."""
    lr, batch = number(settings, "lr"), number(settings, "batch_size")
    if lr is None or batch is None:
        return None
    return math.log(batch / 32.0) - math.log(lr / 1e-5)


def _fixed_positions(settings: Mapping[str, Any]) -> float | None:
    """Whether positions are not learned, of networks of at most 2 layers."""
    depth = number(settings, "depth")
    if depth is None or settings.get("positions") is None:
        return None
    return float(settings["positions"] != "learned" and depth <= 2)


def _error(settings: Mapping[str, Any], name: str) -> float | None:
    """Logarithm of a measured error over the base's."""
    said = number(settings, name)
    return None if said is None else math.log((said + NO_ERROR) / (USUAL_ERROR + NO_ERROR))


def _of_several() -> Iterator[Covariate]:
    """Covariates that take more than one number of the trainer's settings."""
    yield Covariate(
        name="fixed_positions",
        meaning="positions not learned, 2 layers or fewer",
        of=("positions", "depth"),
        value=_fixed_positions,
        unknown=0.2,
        reach=1.0,
        # a previous-token head is harder to find
        effects={"x_a": (-1.0, 1.0), "sequences_per_time": (0.5, 1.0)},
    )
    yield Covariate(
        name="time_scale",  # its effects are the theory's: rates follow it
        meaning="batch size / learning rate × e",
        of=("batch_size", "lr"),
        value=_time_scale,
        unknown=3.0,
        reach=0.15,
    )
    yield Covariate(
        name="head_start",
        meaning="1e7 sequences of CIWL-only training before",
        of=("start",),
        value=lambda settings: head_start(settings) / 1e7,
        reach=1.0,
        effects={"x_d": (1.0, 1.0), "x_b": (1.0, 1.0)},  # it grows d and the shared b, c
    )
    for name, part, decoupled in (
        ("weight_decay", "all", False),
        ("attention_decay", "attention", False),
        ("embedding_decay", "embeddings", False),
        ("decoupled_decay", "all", True),
        ("decoupled_attention_decay", "attention", True),
        ("decoupled_embedding_decay", "embeddings", True),
    ):
        kind, end = ("decoupled", "0.1") if decoupled else ("weight", "1e-3")
        where = "" if part == "all" else f" of {part}"
        yield Covariate(
            name=name,
            meaning=f"{kind} decay{where} from 0 to {end}",
            of=("weight_decay", "weight_decay_kind", "weight_decay_on", "optimizer"),
            value=functools.partial(_decay, part=part, decoupled=decoupled),
            reach=0.3,
        )
    for name, of_what, parameter in (
        ("match_error", "measured match error in context", "mu1"),
        ("probe_error", "measured error of a class probe", "mu2"),
    ):
        yield Covariate(
            name=name,
            meaning=f"{of_what} × e",
            of=(name,),
            value=functools.partial(_error, name=name),
            reach=0.15,
            effects={parameter: (0.4, 0.4)},
        )


def _all() -> tuple[Covariate, ...]:
    """The covariates of single settings and of several, in their order."""
    single = (
        Covariate(
            name=use.covariate,
            meaning=use.meaning,
            of=(name,),
            value=functools.partial(_of_one, name=name, use=use),
            unknown=use.unknown,
            reach=use.reach,
            effects=use.effects,
        )
        for name, setting in BY_SHORT_NAME.items()
        for use in setting.maps
    )
    by_name = {one.name: one for one in (*_of_several(), *single)}
    return tuple(by_name[name] for name in dict.fromkeys((*ORDER, *by_name)))


COVARIATES = _all()
UNSAID = {covariate.name: covariate.value({}) for covariate in COVARIATES}  # of no settings at all


def covariates(settings: Mapping[str, Any]) -> dict[str, float | None]:
    """Every covariate of a run's settings, as in `Curves.settings`; None where they do not say.

    Rounded, so that equal settings are equal whichever library took their logarithms.

    Raises
    ------
    ValueError
        If a setting has a value outside its range.

    Examples
    --------
    >>> covariates({"n_classes": 3200})["classes"]
    -2.0
    """
    values = {covariate.name: covariate.value(settings) for covariate in COVARIATES}
    return {n: value if value is None else round(value, DIGITS) for n, value in values.items()}


def combination(kind: str, values: Mapping[str, float | None]) -> tuple[Any, ...]:
    """The kind of data and all covariates; one that came after they were stored, as if not said."""
    return (kind, *(values.get(c.name, UNSAID[c.name]) for c in COVARIATES))


def time_scale_of(settings: Mapping[str, Any]) -> float:
    """Batch size/32 · 1e-5/learning rate, the time scale in the base's; 1 where not said."""
    return math.exp(_time_scale(settings) or 0.0)


def data_kind(settings: Mapping[str, Any]) -> str:
    """What the exemplars are; runs on other kinds of data get an offset of their own.

    Settings that say something, but not what the data are, are taken to be of the base's kind;
    those that say nothing are ``unknown``.
    """
    if "data_kind" in settings:
        return str(settings["data_kind"])
    original = settings.get("original")
    if not isinstance(original, Mapping):
        return BASE_KIND if settings else UNKNOWN_KIND
    data = original.get("data")
    if isinstance(data, Mapping):
        return str(data.get("kind", "gaussian"))
    if "train_bs" not in original:  # our trainer's file, its data left at the default
        return "gaussian"
    # the reference reads exemplars from a file and says no more of them than its name
    name = str(original.get("data_file", "")).lower()
    known = {"omniglot": BASE_KIND, "gauss": "gaussian"}
    return next((kind for part, kind in known.items() if part in name), UNKNOWN_KIND)


def unusable(settings: Mapping[str, Any]) -> str | None:
    """Why a run's training is not of the kind that the map describes; None if it is."""
    data = settings.get("data", "bursty")
    if isinstance(data, str) and data != "bursty":
        return f"trained on {data} sequences, not on bursty ones"
    start = settings.get("start", "scratch")
    if isinstance(start, str) and start != "scratch" and head_start(settings) == 0:
        return f"started from {start}"
    if settings.get("intervention"):
        return f"trained under intervention ({settings['intervention']})"
    where = settings.get("weight_decay_on", "all")
    if number(settings, "weight_decay") and where not in DECAYING:
        return f"trained with weight decay on {where} alone"
    return None
