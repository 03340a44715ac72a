"""One set of short names for the settings of any run, whoever trained it.

From the reference's and our trainer's files to short names, and back to our trainer's settings.
"""

from __future__ import annotations

import difflib
import functools
import math
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import unknown_name
from .covariates import COVARIATES, data_kind, unusable
from .training import BY_SHORT_NAME, SequenceKind, TrainingSettings
from .yaml_files import as_plain, from_plain, merged

# what tells sequences from plain bursty ones, beside their burstiness and labels
_PLAIN = {
    name: SequenceKind.model_fields[name].default
    for name in ("distractor", "no_support", "unique_rest")
}
# labels of our trainer that leave one strategy alone, by the published runs' name of such data
_ONLY = {"random": "icl_only", "query_copied": "ciwl_only"}
_NOTHING: tuple[Any, ...] = (None, (), [], {}, "")
_REFERENCE_SEEDS = ("init_seed", "train_seed")  # ours is one


def settings_of_reference(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a reference's ``config.json`` by short names; it stays as ``original``."""
    settings: dict[str, Any] = {}
    for short, setting in BY_SHORT_NAME.items():
        theirs = setting.reference
        if theirs is None or theirs.name not in config:
            continue
        if config[theirs.name] is not None:
            settings[short] = theirs.convert(config[theirs.name])
        elif theirs.null is not None:
            settings[short] = theirs.null
    seeds = {name: config.get(name) for name in _REFERENCE_SEEDS}
    settings |= {name: int(seed) for name, seed in seeds.items() if seed is not None}
    if settings.get("weight_decay"):  # the reference adds the sum of unsquared norms to the loss
        settings["weight_decay_kind"] = "norm"
    return {**settings, "original": dict(config)}


def settings_of_ours(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a ``settings.yaml`` of our trainer, under the short names.

    What stands in the file is kept under ``original``. As of published runs, ``data`` says what the
    training sequences are and ``start`` where the weights come from; ``intervention``, where there
    is one, names what else was done to the network.
    """
    settings: dict[str, Any] = {}
    for short, setting in BY_SHORT_NAME.items():
        values = _part(tree, setting.section)
        if setting.name in values:
            settings[short] = _number(values[setting.name])
    settings["data"] = _sequences(_part(tree, "sequences"))
    intervention = _part(tree, "intervention")
    checkpoint = intervention.get("start_from")
    settings["start"] = f"checkpoint {checkpoint}" if checkpoint else "scratch"
    done = [name for name, value in intervention.items() if value not in _NOTHING]
    done = [name for name in done if not name.startswith("start_")]
    if _number(_part(tree, "optimisation").get("reinitialise_embeddings_every", 0)):
        done.append("reinitialise_embeddings")
    if done:
        settings["intervention"] = ", ".join(done)
    return {**settings, "original": dict(tree)}


def short_names(settings: Mapping[str, Any] | TrainingSettings) -> Mapping[str, Any]:
    """Settings by short names: those of our trainer translated, others as given."""
    if isinstance(settings, Mapping):
        return settings
    if not isinstance(settings, TrainingSettings):
        raise ValueError(
            f"settings = {reprlib.repr(settings)}: give a dictionary by short names, such as "
            "Curves.settings, or TrainingSettings"
        )
    return settings_of_ours(as_plain(settings))


def _number(value: Any) -> Any:
    """Text that is a number as one: YAML 1.1 takes 3e-4, without a point, for text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _part(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a settings file, empty where the file has none."""
    values = tree.get(name)
    return values if isinstance(values, Mapping) else {}


def _sequences(given: Mapping[str, Any]) -> str:
    """What training sequences are: ``bursty``, or what sets them apart from such."""
    if given.get("mixture") or _number(given.get("bursty_share", 1.0)) != 1.0:
        return "mixed"
    labels = given.get("labels", "true")
    if labels != "true":
        return _ONLY.get(labels, f"{labels}_labels")
    for name, plain in _PLAIN.items():
        if given.get(name, plain) != plain:
            return f"no_{name}" if plain else name
    return "bursty" if _number(given.get("burstiness", 1)) else "freely_drawn"


def with_short_names(base: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """A run's settings with changes under short names; whole numbers may come as ``1600.0``."""
    tree = as_plain(base)
    for name, value in changes.items():
        if name not in BY_SHORT_NAME:
            raise unknown_name("setting", name, BY_SHORT_NAME)
        section, field = BY_SHORT_NAME[name].section, BY_SHORT_NAME[name].name
        before = tree[section][field]
        if isinstance(before, int) and not isinstance(before, bool) and float(value).is_integer():
            value = int(value)
        tree = merged(tree, {section: {field: value}})
    return from_plain(tree)


def from_short_names(settings: Mapping[str, Any]) -> TrainingSettings:
    """Settings of a run known by short names, such as a published one; the rest by default.

    Its data are Gaussian classes unless ``data_kind`` names another kind that needs no file.
    """
    original = settings.get("original")
    if isinstance(original, Mapping) and set(original) <= set(TrainingSettings.model_fields):
        return from_plain(original)
    known = {name: value for name, value in settings.items() if name in BY_SHORT_NAME}
    known.pop("optimizer", None)  # the reference's names of optimizers are its own
    base = TrainingSettings()
    kind = settings.get("data_kind")
    if kind in ("glyphs", "onehot"):
        base = base.replace(data=base.data.replace(kind=kind))
    return with_short_names(base, known)


def unlike(settings: Mapping[str, Any], made: TrainingSettings) -> dict[str, str]:
    """In what a run would differ from one of the settings by short names, as maps see them.

    Not every run can be written down as settings of our trainer (published runs have other data,
    some start from weights). Differences are told in words, such as ``gaussian, not omniglot``, by
    ``data_kind``, ``training`` and covariate; what settings leave open is met by any value.
    """
    own = settings_of_ours(as_plain(made))
    pairs = {
        "data_kind": (data_kind(own), data_kind(settings)),
        "training": (unusable(own) or "plain", unusable(settings) or "plain"),
    }
    differences = {
        n: f"{mine}, not {theirs}" for n, (mine, theirs) in pairs.items() if mine != theirs
    }
    for covariate in COVARIATES:
        mine, theirs = covariate.value(own), covariate.value(settings)
        if theirs is None and covariate.unknown == 0:
            theirs = 0.0
        if mine is not None and theirs is not None and not math.isclose(mine, theirs, abs_tol=1e-9):
            differences[covariate.name] = f"{mine:.3g}, not {theirs:.3g} ({covariate.meaning})"
    return differences


# what covariates, kinds of data and kinds of training are made of
READ = tuple(
    dict.fromkeys(
        (*(name for covariate in COVARIATES for name in covariate.of),
         "data_kind", "data", "start", "intervention")
    )
)  # fmt: skip
_DOTTED = {setting.path: name for name, setting in BY_SHORT_NAME.items() if name in READ}
SIMILAR = 0.85  # of letters that a misspelt name shares with the right one
BEGINNING = 7  # letters that a name cut short has at least, and half of the whole


def not_read(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each name that is not read but looks like a setting's, also in sections."""
    return tuple(_sentences(settings))


def _sentences(settings: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of `not_read`."""
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
