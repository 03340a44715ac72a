"""Weights from a checkpoint, ours or the reference's, for starts and grafts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import CheckpointError
from .checkpoints import newest_checkpoint, read_checkpoint

STEP = "step/"  # what `TrainingStep.state_tensors` gave, in our checkpoints
WEIGHTS = STEP + "parameters/"


def checkpoint_tensors(path: str) -> Mapping[str, Tensor]:
    """The tensors of our checkpoint, or of the newest whole one in a run's folder.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged.
    """
    where = Path(path)
    if not where.is_dir():
        return read_checkpoint(where.with_suffix(".safetensors")).tensors
    newest, notes = newest_checkpoint(where)
    if newest is None:
        raise CheckpointError("; ".join([f"{where} holds no whole checkpoint", *notes]))
    return newest.tensors


def read_weights(source: str) -> dict[str, Tensor]:
    """A network's weights under our names, without the members axis.

    Parameters
    ----------
    source
        A run's folder, one of its ``.safetensors`` checkpoints, or the reference's ``.eqx``.
        ``PATH#2`` is member 2 (from 0) of an ensemble's.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or the member is not said or not there.
    """
    path, _, member = source.partition("#")
    if path.endswith(".eqx"):
        from .eqx import read_checkpoint as read_reference

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
    """A step's state that starts from a checkpoint, the same for every member.

    Parameters
    ----------
    own
        The state as it is, `TrainingStep.state_tensors`.
    source
        As for `read_weights`.
    optimizer
        Whether to take the optimizer's moments and step count as well; else they stay.

    Raises
    ------
    CheckpointError
        If the checkpoint does not fit, or has no optimizer state.
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
