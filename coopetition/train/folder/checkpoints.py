"""Checkpoints: tensors in a safetensors file, with a small JSON file that holds their SHA-256.

The JSON is written last, so a checkpoint that a full disk or a killed process cut short is
recognised, and the one before it is used. Starts and grafts take their weights from checkpoints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...files import PARTIAL, foreign_parser, write_atomically
from ...version import __version__
from ..reference import read_reference

FOLDER = "checkpoints"
STEP = "step/"  # prefix of `TrainingStep.state_tensors` in a checkpoint
PARAMETERS = "parameters/"  # prefix of the weights among them


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The state of a run at one moment."""

    path: Path  # of the tensors
    sequences: int
    tensors: Mapping[str, Tensor]  # by flat name, on the CPU
    about: Mapping[str, Any]  # the JSON beside it: version, checksum, what the run added


def write_checkpoint(
    run: Path,
    sequences: int,
    tensors: Mapping[str, Tensor],
    *,
    kept: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write tensors by flat name into a run's folder; a failure leaves earlier checkpoints intact.

    `prune` never removes a checkpoint that is ``kept``; ``about`` is added to the JSON.
    """
    from safetensors.torch import save

    # copies, because weights are views of one buffer and safetensors stores no shared memory
    content = save({n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()})
    path = run / FOLDER / f"{sequences:015d}.safetensors"
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomically(path, content)
    record = {
        "version": __version__,
        "sequences": sequences,
        "sha256": hashlib.sha256(content).hexdigest(),
        "kept": kept,
        **(about or {}),
    }
    write_atomically(path.with_suffix(".json"), json.dumps(record, indent=1))
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint; CheckpointError if it or its JSON is missing or damaged."""
    from safetensors.torch import load

    for file in (path.with_suffix(".json"), path):
        if not file.is_file():
            raise CheckpointError(f"checkpoint {path} lacks {file}")
    remedy = "restore it, or use another"
    with foreign_parser(path, "checkpoint", remedy=remedy, error=CheckpointError):
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise CheckpointError(f"checkpoint {path} is damaged: its checksum differs")
        return Checkpoint(
            path=path, sequences=int(about["sequences"]), tensors=load(content), about=about
        )


def newest_checkpoint(run: Path) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """The newest whole checkpoint of a run, and a sentence about each damaged one after it."""
    notes: list[str] = []
    files = (file for kind in ("json", "safetensors") for file in (run / FOLDER).glob(f"*.{kind}"))
    for path in sorted({file.with_suffix(".safetensors") for file in files}, reverse=True):
        try:
            return read_checkpoint(path), tuple(notes)
        except CheckpointError as error:
            notes.append(f"{error}; falling back to the one before it")
    return None, tuple(notes)


def prune(run: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest regular checkpoints, and files written only in part."""
    regular = []
    for about in sorted((run / FOLDER).glob("*.json"), reverse=True):
        try:
            if not json.loads(about.read_text(encoding="utf-8")).get("kept"):
                regular.append(about)
        except (ValueError, AttributeError, RecursionError):  # it is left for the user to see
            continue
    for about in regular[keep:]:
        about.unlink(missing_ok=True)
        about.with_suffix(".safetensors").unlink(missing_ok=True)
    for partial in (run / FOLDER).glob(f".*{PARTIAL}"):  # of a process that was killed
        partial.unlink(missing_ok=True)


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
    weights = with_prefix(checkpoint_tensors(path), STEP + PARAMETERS)
    members = min((len(tensor) if tensor.ndim else 0 for tensor in weights.values()), default=0)
    if not members:
        raise CheckpointError(f"{path} holds no weights of a network")
    if not member and members != 1:
        raise CheckpointError(f"{path} holds {members} networks: choose one, as {path}#0")
    index = int(member) if member.isdecimal() else 0 if not member else members
    if index >= members:
        raise CheckpointError(f"{source}: members are numbered 0 to {members - 1}")
    return {name: tensor[index] for name, tensor in weights.items()}


def start_state(own: Mapping[str, Tensor], source: str, *, optimizer: bool) -> dict[str, Tensor]:
    """The state of a step, ``own``, with the weights of a checkpoint in every member.

    With ``optimizer`` its moments and step count come from the checkpoint too.
    """
    path = source.partition("#")[0]
    if not optimizer:
        start = {PARAMETERS + name: weight[None] for name, weight in read_weights(source).items()}
    elif path.endswith(".eqx"):
        raise CheckpointError(
            f"start_from = {source!r}: only the weights of a reference's checkpoint can be "
            "taken; use start_with = weights"
        )
    else:
        start = with_prefix(checkpoint_tensors(path), STEP)
    expected = {name for name in own if optimizer or name.startswith(PARAMETERS)}
    if expected != set(start):
        differing = ", ".join(sorted(expected ^ set(start)))
        raise CheckpointError(f"{source} is of another network: differs in {differing}")
    state = dict(own)
    for name, tensor in start.items():
        try:
            state[name] = torch.broadcast_to(tensor, own[name].shape).to(own[name].device)
        except RuntimeError as error:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(tensor.shape[1:])}, this network's "
                f"{tuple(own[name].shape[1:])}"
            ) from error
    return state


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
