"""Checkpoints as the reference writes them, read without JAX.

An ``.eqx`` file of the reference is a row of ``.npy`` arrays, one for each leaf of
``{iter, model, opt_state, seeds}`` in that order: the model's weights among scalars of its
configuration, then Adam's count and both moments (once more the weights' shapes). ``config.json``
beside it, or in the run's folder above, says which network it is.
"""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from ..network.network import Network
from ..reference import network_from_parameters


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceCheckpoint:
    """What a checkpoint of the reference holds.

    Parameters
    ----------
    network
        Its network as ours.
    steps
        Optimizer steps done when it was written.
    sequences
        Training sequences seen by then.
    settings
        The run's options, ``config.json``.
    path
        Where it was read from.
    """

    network: Network
    steps: int
    sequences: int
    settings: dict[str, Any]
    path: Path

    def summary(self) -> str:
        """One line for people."""
        network = self.network.settings
        return (
            f"{self.path.name}: {network.depth} layers, width {network.width}, "
            f"{network.n_labels} labels, after {self.sequences:,} sequences"
        )


def read_checkpoint(path: str | Path) -> ReferenceCheckpoint:
    """Read an ``.eqx`` checkpoint of the reference.

    Parameters
    ----------
    path
        The file; ``config.json`` lies in its folder or in the one above.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or the arrays are not those of the configured network.
    """
    path = Path(path)
    settings = read_settings(path)
    arrays = read_arrays(path)
    names = parameter_names(settings)
    weights = [array for array in arrays[1:] if array.ndim > 0]
    if arrays[0].ndim or len(weights) < len(names):
        raise CheckpointError(
            f"{path} holds {len(weights)} weights, its config.json asks for {len(names)}: the two "
            "are of different runs"
        )
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


def read_settings(path: Path) -> dict[str, Any]:
    """The options in ``config.json`` beside a checkpoint or one folder above."""
    for folder in (path.parent, path.parent.parent):
        file = folder / "config.json"
        if file.is_file():
            try:
                settings = json.loads(file.read_text())
            except ValueError as error:
                raise CheckpointError(f"{file} is no JSON: {error}") from error
            needed = {"depth", "num_heads", "pos_embedding_type", "sin_time", "train_bs"}
            needed |= {"mlp_ratio", "no_norm", "data_type"}
            if not isinstance(settings, dict) or not needed <= settings.keys():
                raise CheckpointError(f"{file} is no configuration of the reference")
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
            try:
                arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
            except (ValueError, EOFError) as error:
                raise CheckpointError(
                    f"{path} is damaged after {len(arrays)} arrays: {error}"
                ) from error
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
