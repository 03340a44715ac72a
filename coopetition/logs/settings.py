"""One set of names for the settings of any run, whoever trained it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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

_POSITIONS = {"ape": "learned", "rope": "rotary", "sinusoidal": "sinusoidal"}
_REFERENCE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "depth": ("depth", int),
    "width": ("d_model", int),
    "heads": ("num_heads", int),
    "positions": ("pos_embedding_type", lambda kind: _POSITIONS.get(kind, kind)),
    "n_classes": ("class_split", lambda split: split[0]),
    "n_exemplars": ("exemplar_split", lambda split: split[0]),
    "context_len": ("train_context_len", int),
    "burstiness": ("pt_burstiness", lambda each: each[0] if len(set(each)) == 1 else tuple(each)),
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

    What stands in the file is kept under ``original``; what does not has its default there.

    Examples
    --------
    >>> settings_of_ours({"network": {"width": 32}})["width"]
    32
    """
    settings = {}
    for short, path in OURS.items():
        part, name = path.split(".")
        values = tree.get(part)
        if isinstance(values, Mapping) and name in values:
            settings[short] = _number(values[name])
    return {**settings, "original": dict(tree)}


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


def _number(value: Any) -> Any:
    """Text that is a number as one: YAML 1.1 takes 3e-4, without a point, for text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
