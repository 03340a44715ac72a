"""Networks and ``.eqx`` checkpoints of the reference, arXiv 2503.05631's code, read as ours."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import CheckpointError, unknown_name
from ..files import foreign_parser, read_npy
from ..settings.training import NetworkSettings
from .network.network import LEARNED_POSITIONS, Network

POSITIONS = {"ape": "learned", "rope": "rotary"}  # the reference's words for ours
_NEEDED: Mapping[str, Any] = {  # of the reference's options
    **dict.fromkeys(("depth", "num_heads", "train_bs"), int),
    **dict.fromkeys(("pos_embedding_type", "data_type"), str),
    "sin_time": int | float,
    "no_norm": bool,
}
OUTER = {
    "example_embed.weight": "exemplar.weight",
    "example_embed.bias": "exemplar.bias",
    "label_embed.weight": "label.weight",
    "pos_embed.weight": "position",
    "transformer.norm.weight": "norm.weight",
    "transformer.norm.bias": "norm.bias",
    "unembed.weight": "unembedding.weight",
    "unembed.bias": "unembedding.bias",
}
INNER = {
    "norm1": "attention_norm",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.projection",
    "norm2": "mlp_norm",
    "mlp.fc1": "mlp.inner",
    "mlp.fc2": "mlp.outer",
}
BLOCK = re.compile(r"transformer\.blocks\[(\d+)\]\.(.+)\.(weight|bias)")
TRANSPOSED = ("label.weight", "position")  # the reference's columns are our rows


def our_name(name: str) -> str:
    """Our name of the reference's parameter ``name``; ValueError if it has no such parameter."""
    if name in OUTER:
        return OUTER[name]
    match = BLOCK.fullmatch(name)
    if match is None or match[2] not in INNER:
        known = [*OUTER, *(f"transformer.blocks[0].{part}.weight" for part in INNER)]
        raise unknown_name("reference parameter", name, known)
    return f"blocks.{match[1]}.{INNER[match[2]]}.{match[3]}"


def our_parameters(parameters: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """The reference's parameters (or their gradients) under our names and in our layout."""
    ours = {our_name(name): np.asarray(value, np.float32) for name, value in parameters.items()}
    return {name: value.T if name in TRANSPOSED else value for name, value in ours.items()}


def network_from_parameters(
    parameters: Mapping[str, Any],
    *,
    depth: int,
    heads: int,
    positions: str,
    time_scale: float = 10_000.0,
) -> Network:
    """Our network of one member with the reference's weights, which have the reference's names.

    ``positions`` are ``"ape"``, ``"rope"``, ``"sinusoidal"`` or our names; ``time_scale`` is the
    reference's ``sin_time``. CheckpointError if a weight is missing, too many or of another shape.
    """
    arrays = our_parameters(parameters)
    if "label.weight" not in arrays or "exemplar.weight" not in arrays:
        raise CheckpointError("parameters hold no label_embed.weight or no example_embed.weight")
    labels, width = arrays["label.weight"].shape
    inner = arrays.get("blocks.0.mlp.inner.bias", np.empty(0))
    needed = depth * width * (4 * width + 2 * inner.size)  # entries of the layers' matrices
    if needed > (held := sum(array.size for array in arrays.values())):
        raise CheckpointError(
            f"parameters of width {width} in {depth} layers are at least {needed:,} numbers, and "
            f"{held:,} are there"
        )
    rows = arrays["position"].shape[0] if "position" in arrays else LEARNED_POSITIONS
    settings = NetworkSettings(
        depth=depth,
        width=width,
        heads=heads,
        mlp_ratio=inner.size / width,
        positions=cast(Any, POSITIONS.get(positions, positions)),
        time_scale=time_scale,
        n_labels=labels,
        input="vector" if "exemplar.bias" in arrays else "onehot",
        input_dim=arrays["exemplar.weight"].shape[1],
        max_context_len=(rows - 1) // 2,
        bias="blocks.0.attention.qkv.bias" in arrays,
        final_norm="norm.weight" in arrays,
    )
    network = Network(settings)
    own = dict(network.named_parameters())
    if sorted(own) != sorted(arrays):
        differing = ", ".join(sorted(set(own) ^ set(arrays)))
        raise CheckpointError(
            f"parameters do not make up a network of depth = {depth}, heads = {heads}, "
            f"positions = {positions!r}: {differing} missing or not wanted"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape[1:] != arrays[name].shape:
                raise CheckpointError(
                    f"{name} has shape {arrays[name].shape}, not {tuple(parameter.shape[1:])}"
                )
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))
    return network


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceCheckpoint:
    """What a checkpoint of the reference holds."""

    network: Network
    steps: int  # optimizer steps taken
    sequences: int  # training sequences seen
    settings: dict[str, Any]  # the run's options, ``config.json``
    path: Path

    def summary(self) -> str:
        """One line for people."""
        network = self.network.settings
        return (
            f"{self.path.name}: {network.depth} layers, width {network.width}, "
            f"{network.n_labels} labels, after {self.sequences:,} sequences"
        )


def read_reference(path: str | Path) -> ReferenceCheckpoint:
    """An ``.eqx`` checkpoint of the reference, read without JAX.

    The file is a row of ``.npy`` arrays, one for each leaf of ``{iter, model, opt_state, seeds}``
    in that order: the model's weights among scalars of its configuration, then Adam's count and
    both moments (once more the weights' shapes). ``config.json`` beside it, or in the run's folder
    above, says which network it is.
    """
    path = Path(path)
    settings = reference_settings(path)
    arrays = read_arrays(path)
    weights = [array for array in arrays[1:] if array.ndim > 0]
    # before names are made of it: each layer has weights
    if settings["depth"] > len(weights):
        raise CheckpointError(
            f"{path} holds {len(weights)} weights, too few for the {settings['depth']} layers of "
            "its config.json: the two are of different runs"
        )
    names = parameter_names(settings)
    if arrays[0].ndim or len(weights) < len(names):
        raise CheckpointError(
            f"{path} holds {len(weights)} weights, its config.json asks for {len(names)}: the two "
            "are of different runs"
        )
    with foreign_parser(path, "checkpoint of the reference", error=CheckpointError):
        network = network_from_parameters(
            dict(zip(names, weights, strict=False)),
            depth=settings["depth"],
            heads=settings["num_heads"],
            positions=settings["pos_embedding_type"],
            time_scale=settings["sin_time"],
        )
        steps = int(arrays[0])
    return ReferenceCheckpoint(
        network=network,
        steps=steps,
        sequences=steps * settings["train_bs"],
        settings=settings,
        path=path,
    )


def reference_settings(path: Path) -> dict[str, Any]:
    """The options in ``config.json`` beside a checkpoint or one folder above."""
    for folder in (path.parent, path.parent.parent):
        file = folder / "config.json"
        if file.is_file():
            with foreign_parser(file, "configuration of the reference", error=CheckpointError):
                settings = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(settings, dict) or not settings.keys() >= {"mlp_ratio", *_NEEDED}:
                raise CheckpointError(f"{file} is no configuration of the reference")
            for name, kind in _NEEDED.items():
                value = settings[name]
                if not isinstance(value, kind) or (kind is int and not 0 < value < 2**31):
                    raise CheckpointError(f"{file}: {name} = {value!r:.100} is none of a network")
            return settings
    raise CheckpointError(f"{path}: no config.json beside it or one folder above; put it there")


def read_arrays(path: Path) -> list[NDArray[Any]]:
    """Every array of a row of ``.npy`` arrays."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    arrays: list[NDArray[Any]] = []
    with io.BytesIO(content) as stream:
        while stream.tell() < len(content):
            kind = f"checkpoint of the reference (array {len(arrays) + 1})"
            with foreign_parser(path, kind, error=CheckpointError):
                arrays.append(read_npy(stream, len(content) - stream.tell()))
    if not arrays:
        raise CheckpointError(f"{path} is empty")
    return arrays


def parameter_names(settings: dict[str, Any]) -> list[str]:
    """The weights' names in the order in which the reference writes them."""
    normed = not settings["no_norm"]
    blocks = [f"transformer.blocks[{layer}]." for layer in range(settings["depth"])]
    names = ["example_embed.weight"]
    names += ["example_embed.bias"] if settings["data_type"] == "file" else []
    names += ["label_embed.weight"]
    names += ["pos_embed.weight"] if settings["pos_embedding_type"] == "ape" else []
    for block in blocks:
        names += [f"{block}norm1.{part}" for part in ("weight", "bias") if normed]
        names += [f"{block}attn.qkv.weight", f"{block}attn.proj.weight"]
        if settings["mlp_ratio"] is not None:
            names += [f"{block}norm2.{part}" for part in ("weight", "bias") if normed]
            names += [f"{block}mlp.fc{i}.{part}" for i in (1, 2) for part in ("weight", "bias")]
    names += [f"transformer.norm.{part}" for part in ("weight", "bias") if normed]
    return [*names, "unembed.weight", "unembed.bias"]
