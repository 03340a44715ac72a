"""The memory of a step: activations and their gradients, as views of one flat tensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ....settings.training import NetworkSettings
from .tiles import Tiles

ALIGNMENT = 64  # floats


class StepMemory:
    """Named tensors for batches of one shape, in one flat one.

    Parameters
    ----------
    settings
        The network.
    members, batch, context
        M, B and L; N = B·(2L + 1) below.
    tiles
        How the work is cut.
    device
        Where.

    Attributes
    ----------
    flat
        All of it.
    views
        By name: ``stream`` ``(depth + 1, M, N, d)`` is the input of each block and the output of
        the last; ``normed``, ``qkv``, ``mixed`` and ``normaliser`` are attention's input, queries
        with keys and values, mixed values and log of the softmax' sum; ``middle``, ``mlp_normed``,
        ``before`` and ``after`` the MLP's; ``query`` the normalised query; ``largest``, ``total``,
        ``vector``, ``target_logit``, ``target_vector`` and ``loss`` belong to the unembedding;
        names with a ``d`` before them are gradients, ``shares`` those of normalisations by group;
        ``numbers`` are what Adam needs (see `kernels.updates`).
    """

    def __init__(
        self,
        settings: NetworkSettings,
        members: int,
        batch: int,
        context: int,
        tiles: Tiles,
        device: torch.device,
    ) -> None:
        width, depth = settings.width, settings.depth
        hidden = round(width * settings.mlp_ratio)
        rows = members, batch * (2 * context + 1)
        groups = math.ceil(batch / tiles.group)
        norms = depth * (2 if hidden else 1) + settings.final_norm
        parts = members, tiles.parts, batch
        shapes: dict[str, tuple[int, ...]] = {
            "stream": (depth + 1, *rows, width),
            "normed": (depth, *rows, width),
            "qkv": (depth, *rows, 3 * width),
            "mixed": (depth, *rows, width),
            "normaliser": (depth, *rows, settings.heads),
            "query": (members, batch, width),
            "largest": parts,
            "total": parts,
            "vector": (*parts, width),
            "target_logit": (members, batch),
            "target_vector": (members, batch, width),
            "loss": (members, batch),
            "mean_loss": (members,),
            "dquery": (members, batch, width),
            "dout": (depth, *rows, width),
            "dmixed": (depth, *rows, width),
            "dqkv": (depth, *rows, 3 * width),
            "dtokens": (*rows, width),
            "shares": (members, groups, norms, 2, width),
            "numbers": (members, 3),
        }
        layers = depth if hidden else 0
        shapes.update(dict.fromkeys(("middle", "mlp_normed", "dmlp"), (layers, *rows, width)))
        shapes.update(dict.fromkeys(("before", "after", "dbefore"), (layers, *rows, hidden)))
        sizes = [ALIGNMENT * math.ceil(math.prod(shape) / ALIGNMENT) for shape in shapes.values()]
        self.flat = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        self.views: dict[str, Tensor] = {
            name: part[: math.prod(shape)].view(shape)
            for (name, shape), part in zip(
                shapes.items(), torch.split(self.flat, sizes), strict=True
            )
        }

    def place(self, name: str, layer: int | None = None) -> int:
        """Where a tensor, or its part of one layer, begins in the flat one."""
        view = self.views[name] if layer is None else self.views[name][layer]
        return int(view.storage_offset())
