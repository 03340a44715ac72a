"""One set of names for the settings of any run, whoever trained it."""

from __future__ import annotations

import difflib
import functools
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .training import TrainingSettings


# our name -> where a settings.yaml of our trainer has it
OURS = {
    "depth": "network.depth",
    "width": "network.width",
    "heads": "network.heads",
    "mlp_ratio": "network.mlp_ratio",
    "positions": "network.positions",
    "n_classes": "data.n_classes",
    "n_exemplars": "data.n_exemplars",
    "spread": "data.spread",
    "context_len": "sequences.context_len",
    "burstiness": "sequences.burstiness",
    "match_probability": "sequences.match_probability",
    "zipf_exponent": "sequences.zipf_exponent",
    "label_noise": "sequences.label_noise",
    "input_noise": "sequences.input_noise",
    "lr": "optimisation.lr",
    "batch_size": "optimisation.batch_size",
    "optimizer": "optimisation.optimizer",
    "weight_decay": "optimisation.weight_decay",
    "weight_decay_kind": "optimisation.weight_decay_kind",
    "weight_decay_on": "optimisation.weight_decay_on",
    "seed": "run.seed",
}
# what plain bursty sequences are beside their burstiness
_PLAIN = {"distractor": True, "no_support": False, "unique_rest": False}
# labels of our trainer that leave one strategy alone, by the published runs' name of such data
_ONLY = {"random": "icl_only", "query_copied": "ciwl_only"}
_NOTHING: tuple[Any, ...] = (None, (), [], {}, "")

_POSITIONS = {"ape": "learned", "rope": "rotary", "sinusoidal": "sinusoidal"}
_REFERENCE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "depth": ("depth", int),
    "width": ("d_model", int),
    "heads": ("num_heads", int),
    "positions": ("pos_embedding_type", lambda kind: _POSITIONS.get(kind, kind)),
    "n_classes": ("class_split", lambda split: split[0]),
    "n_exemplars": ("exemplar_split", lambda split: split[0]),
    "context_len": ("train_context_len", int),
    "burstiness": ("pt_burstiness", lambda each: each[0] if len(set(each)) == 1 else None),
    "match_probability": ("match_query_and_distractors", float),
    "zipf_exponent": ("zipf_alpha", float),
    "input_noise": ("noise_scale_train", float),
    "lr": ("lr", float),
    "batch_size": ("train_bs", int),
    "optimizer": ("optimizer", str),
    "weight_decay": ("weight_decay", float),
    "init_seed": ("init_seed", int),
    "train_seed": ("train_seed", int),
}


def settings_of_reference(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a ``config.json`` of the reference, under our names.

    Everything it holds stands under ``original`` as well.

    Examples
    --------
    >>> settings = settings_of_reference({"d_model": 64, "mlp_ratio": None, "train_bs": 32})
    >>> settings["width"], settings["mlp_ratio"], settings["batch_size"]
    (64, 0.0, 32)
    """
    settings = {
        ours: convert(config[theirs])
        for ours, (theirs, convert) in _REFERENCE.items()
        if config.get(theirs) is not None
    }
    if "mlp_ratio" in config:  # null: attention only
        settings["mlp_ratio"] = float(config["mlp_ratio"] or 0)
    if settings.get("weight_decay"):  # the reference adds the sum of unsquared norms to the loss
        settings["weight_decay_kind"] = "norm"
    return {**settings, "original": dict(config)}


def settings_of_ours(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a ``settings.yaml`` of our trainer, under the short names.

    What stands in the file is kept under ``original``; what does not has its default there. As of
    published runs, ``data`` says what the training sequences are and ``start`` where the weights
    come from; ``intervention``, where there is one, names what else was done to the network.

    Examples
    --------
    >>> settings = settings_of_ours({"network": {"width": 32}, "sequences": {"labels": "random"}})
    >>> settings["width"], settings["data"], settings["start"]
    (32, 'icl_only', 'scratch')
    """
    settings: dict[str, Any] = {}
    for short, path in OURS.items():
        part, name = path.split(".")
        values = _part(tree, part)
        if name in values:
            settings[short] = _number(values[name])
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
    """Settings by short names: those of our trainer translated, such as a preset, others as given.

    Raises
    ------
    ValueError
        If they are neither.

    Examples
    --------
    >>> from coopetition.train import preset
    >>> short_names(preset("cpu-never"))["n_classes"], short_names({"n_classes": 1600})
    (3200, {'n_classes': 1600})
    """
    if isinstance(settings, Mapping):
        return settings
    if not hasattr(settings, "model_dump"):  # not asked by type, which would take importing it
        raise ValueError(
            f"settings = {reprlib.repr(settings)}: give a dictionary by short names, such as "
            "Curves.settings, or TrainingSettings"
        )
    return settings_of_ours(settings.model_dump(mode="json"))


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


# what covariates, kinds of data and kinds of training are made of
READ = (
    *(name for name in OURS if name not in ("heads", "seed")),
    "match_error", "probe_error", "data_kind", "data", "start", "intervention",
)  # fmt: skip
_DOTTED = {path: name for name, path in OURS.items() if name in READ}
SIMILAR = 0.85  # of letters that a misspelt name shares with the right one
BEGINNING = 7  # letters that a name cut short has at least, and half of the whole


def not_read(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each name that is not read but looks like a setting's.

    Parameters
    ----------
    settings
        As in `Curves.settings`. Sections of a settings file of our trainer are looked into.

    Examples
    --------
    >>> not_read({"n_class": 1600, "sequences.match_probability": 1.0, "epochs": 3})[0]
    "setting 'n_class' is not read: did you mean n_classes?"
    >>> not_read({"sequences": {"match_probability": 1.0}})
    ("setting 'sequences.match_probability' is not read: write it as match_probability",)
    """
    return tuple(_found(settings))


def _found(settings: Mapping[str, Any]) -> Iterator[str]:
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
