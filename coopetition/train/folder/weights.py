"""Weights from a checkpoint, ours or the reference's, for starts and grafts."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import CheckpointError
from ..network.network import Network
from ..reference import network_from_parameters
from .checkpoints import newest_checkpoint, read_checkpoint

STEP = "step/"  # what `TrainingStep.state_tensors` gave, in our checkpoints
WEIGHTS = STEP + "parameters/"


def checkpoint_tensors(path: str) -> Mapping[str, Tensor]:
    """The tensors of our checkpoint, or of the newest whole one in a run's folder."""
    where = Path(path)
    if not where.is_dir():
        return read_checkpoint(where.with_suffix(".safetensors")).tensors
    newest, notes = newest_checkpoint(where)
    if newest is None:
        raise CheckpointError("; ".join([f"{where} holds no whole checkpoint", *notes]))
    return newest.tensors


def read_weights(source: str) -> dict[str, Tensor]:
    """A network's weights under our names, without the members axis.

    ``source`` is a run's folder, one of its ``.safetensors`` checkpoints, or the reference's
    ``.eqx``; ``PATH#2`` is member 2 (from 0) of an ensemble's.
    """
    path, _, member = source.partition("#")
    if path.endswith(".eqx"):
        network = read_reference(path).network
        return {name: weight.detach()[0] for name, weight in network.named_parameters()}
    weights = {
        name.removeprefix(WEIGHTS): tensor
        for name, tensor in checkpoint_tensors(path).items()
        if name.startswith(WEIGHTS)
    }
    members = len(next(iter(weights.values()))) if weights else 0
    if not member and members != 1:
        raise CheckpointError(f"{path} holds {members} networks: choose one, as {path}#0")
    index = int(member) if member.isdecimal() else 0 if not member else members
    if index >= members:
        raise CheckpointError(f"{source}: members are numbered 0 to {members - 1}")
    return {name: tensor[index] for name, tensor in weights.items()}


def start_state(own: Mapping[str, Tensor], source: str, *, optimizer: bool) -> dict[str, Tensor]:
    """A step's state ``own`` that starts from a checkpoint, the same for every member.

    ``optimizer``: whether to take the optimizer's moments and step count as well; else they stay.
    """
    prefix = "parameters/"
    if optimizer:
        if source.partition("#")[0].endswith(".eqx"):
            raise CheckpointError(
                f"start_from = {source!r}: only the weights of a reference's checkpoint can be "
                "taken; use start_with = weights"
            )
        taken = {
            name.removeprefix(STEP): tensor
            for name, tensor in checkpoint_tensors(source.partition("#")[0]).items()
            if name.startswith(STEP)
        }
    else:
        taken = {prefix + name: weight[None] for name, weight in read_weights(source).items()}
    state = dict(own)
    expected = {name for name in own if optimizer or name.startswith(prefix)}
    if expected != set(taken):
        differing = ", ".join(sorted(expected ^ set(taken)))
        raise CheckpointError(f"{source} is of another network: differs in {differing}")
    for name, tensor in taken.items():
        try:
            state[name] = torch.broadcast_to(tensor, own[name].shape).to(own[name].device)
        except RuntimeError as error:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(tensor.shape[1:])}, this network's "
                f"{tuple(own[name].shape[1:])}"
            ) from error
    return state


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceCheckpoint:
    """What a checkpoint of the reference holds."""

    network: Network
    steps: int  # of the optimizer, when it was written
    sequences: int  # seen by then
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


def reference_settings(path: Path) -> dict[str, Any]:
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
