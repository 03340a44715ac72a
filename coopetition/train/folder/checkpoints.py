"""Checkpoints: tensors in a safetensors file, and a small JSON that says they are whole.

The JSON is written last and holds the tensors' SHA-256, so a checkpoint that was cut short by a
full disk or a killed process is known for what it is, and the one before it is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import CheckpointError
from ...files import PARTIAL, write_atomically
from ...version import __version__

FOLDER = "checkpoints"


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
    """Write tensors by flat name into a run's folder; what is there already stays if it fails.

    ``kept``: whether `prune` must leave it; ``about`` is more for the JSON.
    """
    from safetensors.torch import save

    # copies, because weights are views of one buffer and safetensors stores no shared memory
    content = save({n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()})
    path = run / FOLDER / f"{sequences:015d}.safetensors"
    path.with_suffix(".json").unlink(missing_ok=True)
    write_atomically(path, content)
    says = {
        "version": __version__,
        "sequences": sequences,
        "sha256": hashlib.sha256(content).hexdigest(),
        "kept": kept,
        **(about or {}),
    }
    write_atomically(path.with_suffix(".json"), json.dumps(says, indent=1))
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint; CheckpointError if it or its JSON is missing or damaged."""
    from safetensors.torch import load

    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise CheckpointError(f"checkpoint {path} is damaged: its checksum differs")
        return Checkpoint(
            path=path, sequences=int(about["sequences"]), tensors=load(content), about=about
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path} lacks {error.filename}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error


def newest_checkpoint(run: Path) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """The newest whole checkpoint of a run, and a sentence about each newer one that is not."""
    notes: list[str] = []
    for path in sorted((run / FOLDER).glob("*.safetensors"), reverse=True):
        try:
            return read_checkpoint(path), tuple(notes)
        except CheckpointError as error:
            notes.append(f"{error}; falling back to the one before it")
    return None, tuple(notes)


def prune(run: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest of the regular checkpoints, and what was cut short."""
    regular = []
    for about in sorted((run / FOLDER).glob("*.json"), reverse=True):
        try:
            if not json.loads(about.read_text(encoding="utf-8")).get("kept"):
                regular.append(about)
        except ValueError:  # a damaged one says nothing; it is left for the user to see
            continue
    for about in regular[keep:]:
        about.unlink(missing_ok=True)
        about.with_suffix(".safetensors").unlink(missing_ok=True)
    for partial in (run / FOLDER).glob(f".*{PARTIAL}"):  # of a process that was killed
        partial.unlink(missing_ok=True)
