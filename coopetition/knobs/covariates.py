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

from ..errors import unknown_name

UNKNOWN_KIND = "unknown"
BASE_KIND = "omniglot"  # image features of drawn characters, the published runs' data
UNMATCHED_ERROR = (
    0.02  # what is left of mu1 where every exemplar is matched, relative to where none is
)

NO_ERROR = 0.005  # measured errors below this are as good as none


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


def _number(settings: Mapping[str, Any], name: str) -> float | None:
    value = settings.get(name)
    if value is None or isinstance(value, str | list | tuple | dict):
        return None
    return float(value)


def _positive(settings: Mapping[str, Any], name: str) -> float | None:
    value = _number(settings, name)
    if value is not None and not value > 0:
        raise ValueError(f"setting {name} = {value:g}: must be positive to be compared with others")
    return value


def _log2_of(name: str, base: float) -> Callable[[Mapping[str, Any]], float | None]:
    def value(settings: Mapping[str, Any]) -> float | None:
        found = _positive(settings, name)
        return None if found is None else math.log2(found / base)

    return value


def _plain(
    name: str, function: Callable[[float], float] = float
) -> Callable[[Mapping[str, Any]], float | None]:
    def value(settings: Mapping[str, Any]) -> float | None:
        found = _number(settings, name)
        return None if found is None else function(found)

    return value


def _error(name: str, base: float) -> Callable[[Mapping[str, Any]], float | None]:
    def value(settings: Mapping[str, Any]) -> float | None:
        found = _number(settings, name)
        if found is not None and not found >= 0:
            raise ValueError(f"setting {name} = {found:g}: an error must be at least 0")
        return None if found is None else math.log((found + NO_ERROR) / (base + NO_ERROR))

    return value


def _matched(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"setting match_probability = {share:g}: must lie in [0, 1]")
    return math.log((1.0 - share + UNMATCHED_ERROR) / (1.0 + UNMATCHED_ERROR))


def _pace(settings: Mapping[str, Any]) -> float | None:
    lr, batch = _positive(settings, "lr"), _positive(settings, "batch_size")
    if lr is None or batch is None:
        return None
    return math.log(batch / 32.0) - math.log(lr / 1e-5)


def _fixed_positions(settings: Mapping[str, Any]) -> float | None:
    if "positions" not in settings or "depth" not in settings:
        return None
    return float(settings["positions"] != "learned" and float(settings["depth"]) <= 2)


COVARIATES: tuple[Covariate, ...] = tuple(
    Covariate(name=name, meaning=meaning, value=value, unknown=unknown, reach=reach)
    for name, meaning, value, unknown, reach in (
        ("classes", "classes doubled", _log2_of("n_classes", 12800), 2.0, 0.4),
        ("exemplars", "exemplars per class doubled", _log2_of("n_exemplars", 20), 1.0, 0.4),
        (
            "matching",
            "unmatched share of sequences × e",
            _plain("match_probability", _matched),
            0.0,
            0.15,
        ),
        (
            "mlp",
            "MLP of ratio 4",
            _plain("mlp_ratio", lambda ratio: math.log1p(ratio) / math.log(5.0)),
            0.3,
            1.0,
        ),
        (
            "one_layer",
            "1 layer instead of 2",
            _plain("depth", lambda depth: float(depth == 1)),
            0.1,
            1.0,
        ),
        (
            "depth",
            "layers doubled beyond 2",
            _plain("depth", lambda depth: math.log2(max(depth, 2.0) / 2.0)),
            0.5,
            0.4,
        ),
        ("fixed_positions", "positions not learned, 2 layers or fewer", _fixed_positions, 0.2, 1.0),
        ("width", "width doubled", _log2_of("width", 64), 0.5, 0.4),
        ("pace", "batch size / learning rate × e", _pace, 3.0, 0.15),
        (
            "head_start",
            "1e7 sequences of CIWL-only training before",
            lambda s: head_start(s) / 1e7,
            0.0,
            1.0,
        ),
        ("spread", "within-class spread doubled", _log2_of("spread", 0.5), 0.0, 0.4),
        ("context", "context length doubled", _log2_of("context_len", 2), 0.3, 0.4),
        ("burstiness", "copies of the query's class doubled", _log2_of("burstiness", 1), 0.3, 0.4),
        ("zipf", "Zipf exponent raised by 1", _plain("zipf_exponent"), 0.0, 0.7),
        (
            "label_noise",
            "a tenth of labels random",
            _plain("label_noise", lambda x: 10 * x),
            0,
            0.4,
        ),
        ("input_noise", "noise of one standard deviation", _plain("input_noise"), 0.0, 0.5),
        (
            "weight_decay",
            "weight decay from 0 to 1e-3",
            _plain("weight_decay", lambda rate: math.asinh(rate / 1e-3)),
            0.0,
            0.3,
        ),
        (
            "match_error",
            "measured match error in context × e",
            _error("match_error", 0.1),
            0.0,
            0.15,
        ),
        (
            "probe_error",
            "measured error of a class probe × e",
            _error("probe_error", 0.1),
            0.0,
            0.15,
        ),
    )
)
NAMES = tuple(covariate.name for covariate in COVARIATES)


def covariates(settings: Mapping[str, Any]) -> dict[str, float | None]:
    """Every covariate of a run's settings, None where the settings do not say.

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
    return {covariate.name: covariate.value(settings) for covariate in COVARIATES}


def covariate(name: str) -> Covariate:
    """One covariate; unknown names are refused with the nearest."""
    if name not in NAMES:
        raise unknown_name("covariate", name, NAMES)
    return COVARIATES[NAMES.index(name)]


def head_start(settings: Mapping[str, Any]) -> float:
    """Sequences of CIWL-only training before the run, 0 for a run from scratch.

    Examples
    --------
    >>> head_start({"start": "ciwl_only at 4e6"})
    4000000.0
    """
    start = settings.get("start")
    if isinstance(start, str) and start.startswith("ciwl_only at "):
        return float(start.removeprefix("ciwl_only at "))
    return 0.0


def pace_of(settings: Mapping[str, Any]) -> float:
    """Time scale of the settings in units of the base's: batch size/32 · 1e-5/learning rate.

    1 where settings do not say.

    Examples
    --------
    >>> round(pace_of({"lr": 3e-4, "batch_size": 16}), 4)
    0.0167
    """
    return math.exp(_pace(settings) or 0.0)


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
    """Why a run's training is not of the kind that the map describes; None if it is."""
    data = settings.get("data", "bursty")
    if isinstance(data, str) and data != "bursty":
        return f"trained on {data} sequences, not on bursty ones"
    start = settings.get("start", "scratch")
    if isinstance(start, str) and start != "scratch" and head_start(settings) == 0:
        return f"started from {start}"
    return None
