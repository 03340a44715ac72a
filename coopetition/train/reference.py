"""The reference's networks (arXiv 2503.05631's code) as ours: names, layouts, architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import CheckpointError, unknown_name
from ..settings.training import NetworkSettings
from .network.network import LEARNED_POSITIONS, Network

POSITIONS = {"ape": "learned", "rope": "rotary"}  # the reference's words for ours
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
    """Our name of the reference's parameter ``name``.

    Raises
    ------
    ValueError
        If the reference has no such parameter.

    Examples
    --------
    >>> our_name("transformer.blocks[1].attn.qkv.weight")
    'blocks.1.attention.qkv.weight'
    """
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
    """Our network with the reference's weights.

    Parameters
    ----------
    parameters
        Arrays under the reference's names, ``"transformer.blocks[0].attn.qkv.weight"`` and so on.
    depth
        Layers.
    heads
        Heads of a layer.
    positions
        ``"ape"``, ``"rope"`` and ``"sinusoidal"`` as the reference says, or our names.
    time_scale
        Of sinusoidal and rotary positions (the reference's ``sin_time``).

    Returns
    -------
    Network
        One member; ``network(examples, labels)`` gives the query's logits.

    Raises
    ------
    ValueError
        If a name is unknown.
    CheckpointError
        If a parameter is missing or has another shape than the architecture asks for.
    """
    arrays = our_parameters(parameters)
    if "label.weight" not in arrays or "exemplar.weight" not in arrays:
        raise CheckpointError("parameters hold no label_embed.weight or no example_embed.weight")
    labels, width = arrays["label.weight"].shape
    inner = arrays.get("blocks.0.mlp.inner.bias", np.empty(0))
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
