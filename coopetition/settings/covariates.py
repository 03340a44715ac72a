"""Training settings as numbers that effects multiply: 0 at the base, the paper's 2-layer run.

Settings of published runs, of our trainer and of the reference's logs share one set of names
(`coopetition.logs`); this is the one place where they become covariates. What settings do not say
is not guessed: the covariate is unknown, with a spread that widens every prediction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..curves.curve import head_start as head_start  # read by those who read covariates
from ..errors import unknown_name
from .setting_values import (
    decay,
    error,
    fixed_positions,
    log2_of,
    matched,
    number,
    plain,
    time_scale,
)

UNKNOWN_KIND = "unknown"
DECAYING = ("all", "attention", "embeddings")  # parts whose weight decay has a covariate
DIGITS = 9  # decimals of a covariate
BASE_KIND = "omniglot"  # image features of drawn characters, the published runs' data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Covariate:
    """One number made of settings.

    Parameters
    ----------
    name
        Its name.
    meaning
        What one unit of it is, in words.
    value
        From the settings to the number; None where they do not say.
    unknown
        Standard deviation of the number where settings do not say; 0 if 0 may then be assumed.
    reach
        How far one unit can move a parameter, in units of its `setting_spread`.
    """

    name: str
    meaning: str
    value: Callable[[Mapping[str, Any]], float | None]
    unknown: float
    reach: float


COVARIATES: tuple[Covariate, ...] = tuple(
    Covariate(name=name, meaning=meaning, value=value, unknown=unknown, reach=reach)
    for name, meaning, value, unknown, reach in (
        ("classes", "classes doubled", log2_of("n_classes", 12800), 2.0, 0.4),
        ("exemplars", "exemplars per class doubled", log2_of("n_exemplars", 20), 1.0, 0.4),
        (
            "matching",
            "unmatched share of sequences × e",
            plain("match_probability", matched),
            0.0,
            0.15,
        ),
        (
            "matched_share",
            "all sequences matched instead of none",
            plain("match_probability"),
            0.0,
            0.6,
        ),
        (
            "mlp",
            "MLP of ratio 4",
            plain("mlp_ratio", lambda ratio: math.log1p(ratio) / math.log(5.0)),
            0.3,
            1.0,
        ),
        (
            "one_layer",
            "1 layer instead of 2",
            plain("depth", lambda depth: float(depth == 1)),
            0.1,
            1.0,
        ),
        (
            "depth",
            "layers doubled beyond 2",
            plain("depth", lambda depth: math.log2(max(depth, 2.0) / 2.0)),
            0.5,
            0.4,
        ),
        ("fixed_positions", "positions not learned, 2 layers or fewer", fixed_positions, 0.2, 1.0),
        ("width", "width doubled", log2_of("width", 64), 0.5, 0.4),
        ("time_scale", "batch size / learning rate × e", time_scale, 3.0, 0.15),
        (
            "head_start",
            "1e7 sequences of CIWL-only training before",
            lambda s: head_start(s) / 1e7,
            0.0,
            1.0,
        ),
        ("spread", "within-class spread doubled", log2_of("spread", 0.5), 0.0, 0.4),
        ("context", "context length doubled", log2_of("context_len", 2), 0.3, 0.4),
        ("burstiness", "copies of the query's class doubled", log2_of("burstiness", 1), 0.3, 0.4),
        ("zipf", "Zipf exponent raised by 1", plain("zipf_exponent"), 0.0, 0.7),
        (
            "label_noise",
            "a tenth of labels random",
            plain("label_noise", lambda x: 10 * x),
            0,
            0.4,
        ),
        ("input_noise", "noise of one standard deviation", plain("input_noise"), 0.0, 0.5),
        ("weight_decay", "weight decay from 0 to 1e-3", decay("all", False), 0.0, 0.3),
        (
            "attention_decay",
            "weight decay of attention from 0 to 1e-3",
            decay("attention", False),
            0.0,
            0.3,
        ),
        (
            "embedding_decay",
            "weight decay of embeddings from 0 to 1e-3",
            decay("embeddings", False),
            0.0,
            0.3,
        ),
        ("decoupled_decay", "decoupled decay from 0 to 0.1", decay("all", True), 0.0, 0.3),
        (
            "decoupled_attention_decay",
            "decoupled decay of attention from 0 to 0.1",
            decay("attention", True),
            0.0,
            0.3,
        ),
        (
            "decoupled_embedding_decay",
            "decoupled decay of embeddings from 0 to 0.1",
            decay("embeddings", True),
            0.0,
            0.3,
        ),
        (
            "match_error",
            "measured match error in context × e",
            error("match_error", 0.1),
            0.0,
            0.15,
        ),
        (
            "probe_error",
            "measured error of a class probe × e",
            error("probe_error", 0.1),
            0.0,
            0.15,
        ),
    )
)
NAMES = tuple(covariate.name for covariate in COVARIATES)


def covariates(settings: Mapping[str, Any]) -> dict[str, float | None]:
    """Every covariate of a run's settings, None where the settings do not say.

    Rounded, so that equal settings are equal whichever library took their logarithms.

    Parameters
    ----------
    settings
        As in `Curves.settings`.

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


def covariate(name: str) -> Covariate:
    """One covariate; unknown names are refused with the nearest."""
    if name not in NAMES:
        raise unknown_name("covariate", name, NAMES)
    return COVARIATES[NAMES.index(name)]


def time_scale_of(settings: Mapping[str, Any]) -> float:
    """Time scale of the settings in units of the base's: batch size/32 · 1e-5/learning rate.

    1 where settings do not say.

    Examples
    --------
    >>> round(time_scale_of({"lr": 3e-4, "batch_size": 16}), 4)
    0.0167
    """
    return math.exp(time_scale(settings) or 0.0)


def data_kind(settings: Mapping[str, Any]) -> str:
    """What the exemplars are; runs on other kinds of data get an offset of their own.

    Settings that say something, but not what the data are, are taken to be of the base's kind;
    those that say nothing are ``unknown``.

    Examples
    --------
    >>> data_kind({"data_kind": "gaussian"}), data_kind({"n_classes": 1600}), data_kind({})
    ('gaussian', 'omniglot', 'unknown')
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
    """Why a run's training is not of the kind that the map describes; None if it is.

    Examples
    --------
    >>> unusable({"data": "icl_only"})
    'trained on icl_only sequences, not on bursty ones'
    """
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
