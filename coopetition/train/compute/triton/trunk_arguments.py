"""Where the kernels of the trunk find its weights, and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from ...network.layers import Block
from ...network.network import Network
from .tiles import Tiles, power_of_two

OF_BLOCK = {
    "attention_norm": "attention_norm.weight",
    "attention_norm_bias": "attention_norm.bias",
    "qkv_weight": "attention.qkv.weight",
    "qkv_bias": "attention.qkv.bias",
    "projection": "attention.projection.weight",
    "projection_bias": "attention.projection.bias",
    "mlp_norm": "mlp_norm.weight",
    "mlp_norm_bias": "mlp_norm.bias",
    "inner": "mlp.inner.weight",
    "inner_bias": "mlp.inner.bias",
    "outer": "mlp.outer.weight",
    "outer_bias": "mlp.outer.bias",
}
OUTSIDE = {
    "exemplar": "exemplar.weight",
    "exemplar_bias": "exemplar.bias",
    "label_weight": "label.weight",
    "position": "position",
    "final_norm": "norm.weight",
    "final_norm_bias": "norm.bias",
}


def weights(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the first block and of what lies around the blocks, by the kernels' names.

    For what a network lacks any tensor stands in, which its kernels then do not touch.
    """
    anything = views["label.weight"]
    names = {**{kind: f"blocks.0.{name}" for kind, name in OF_BLOCK.items()}, **OUTSIDE}
    return {kind: views.get(name, anything) for kind, name in names.items()}


def block_step(views: Mapping[str, Tensor]) -> int:
    """How far the second block's weights lie from the first's in the flat buffer, in floats."""
    first, second = (f"blocks.{layer}.attention_norm.weight" for layer in (0, 1))
    if second not in views:
        return 0
    return int(views[second].storage_offset()) - int(views[first].storage_offset())


def of_trunk(
    network: Network, views: Mapping[str, Tensor], context: int, tiles: Tiles
) -> dict[str, Any]:
    """Arguments of both passes through the trunk, some of which only one has."""
    settings = network.settings
    attention = cast(Block, network.blocks[0]).attention
    rotation, anything = attention.rotation, views["label.weight"]
    arguments = weights(views)
    positions_step = 0
    if settings.positions == "learned":
        positions_step = views["position"][0].numel()
    elif settings.positions == "sinusoidal":
        arguments["position"] = network.sinusoids
    return {
        **arguments,
        "cos": anything if rotation is None else rotation.cos,
        "sin": anything if rotation is None else rotation.sin,
        "n_labels": settings.n_labels,
        "positions_step": positions_step,
        "block_step": block_step(views),
        "scale": attention.scale,
        "CONTEXT": context,
        "TOKENS": 2 * context + 1,
        "INPUTS": settings.input_dim,
        "WIDTH": settings.width,
        "HEADS": settings.heads,
        "DEPTH": settings.depth,
        "HIDDEN": round(settings.width * settings.mlp_ratio),
        "EXEMPLAR_BIAS": "exemplar.bias" in views,
        "POSITIONS": settings.positions in ("learned", "sinusoidal"),
        "ROTARY": rotation is not None,
        "BIAS": settings.bias,
        "FINAL_NORM": settings.final_norm,
        "ROWS": tiles.rows,
        "GROUP": tiles.group,
        "GROUP_TILE": power_of_two(tiles.group),
        "PAIRS": tiles.pairs,
        "TILE": power_of_two(2 * context + 1),
        "CHUNK": tiles.chunk,
        "INPUT_CHUNK": tiles.input_chunk,
    }
