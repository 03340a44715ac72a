"""An ensemble on disk: the folder of a single run, or of several runs that share checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import CheckpointError
from ...files import foreign_parser, write_atomically
from ...settings.training import TrainingSettings, checked_name
from ...settings.yaml_files import another_run, write_settings
from ..ensemble import Ensemble
from ..evaluation.evaluators import restored, stored
from .run_folder import SETTINGS, STORED, RunFolder, require_unmeasured

MEMBERS = "members.json"


def holds_run(folder: Path) -> bool:
    """Whether a run or an ensemble was begun in the folder."""
    return (folder / SETTINGS).exists() or (folder / MEMBERS).exists()


def member_paths(folder: Path) -> list[Path]:
    """The members' folders: the folder itself for a single run."""
    if (folder / SETTINGS).is_file():
        return [folder]
    try:
        content = (folder / MEMBERS).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no run to continue") from error
    with foreign_parser(folder / MEMBERS, "list of runs", error=CheckpointError):
        return [folder / checked_name(str(name)) for name in json.loads(content)]


def stored_settings(folder: Path) -> tuple[TrainingSettings, ...]:
    """The settings of the runs begun in the folder."""
    return tuple(RunFolder.open(path).settings for path in member_paths(folder))


def new_paths(folder: Path, members: Sequence[TrainingSettings]) -> list[Path]:
    """The folders of new runs; ValueError where something was measured in one already."""
    if holds_run(folder):
        raise ValueError(
            f"{folder} holds a run already: continue it with --resume, or choose another folder"
        )
    single = len(members) == 1
    paths = [folder if single else folder / settings.name for settings in members]
    for path in paths:
        require_unmeasured(path)
    return paths


def begin(folder: Path, ensemble: Ensemble, about: Mapping[str, Any]) -> list[RunFolder]:
    """Make the folders of a new ensemble, with its evaluation sequences."""
    from safetensors.torch import save

    members = ensemble.members
    folders = []
    for path, settings, evaluators, exemplars in zip(
        new_paths(folder, members), members, ensemble.evaluators, ensemble.exemplars, strict=True
    ):
        write_atomically(path / STORED, save(stored(evaluators)))
        record = {
            **computed_with(ensemble),
            "seed": settings.run.seed,
            "data": {"path": settings.data.path, "sha256": exemplars.dataset.checksum},
            **about,
        }
        folders.append(RunFolder.create(path, settings, record))
    if len(members) > 1:
        names = json.dumps([settings.name for settings in members])
        write_atomically(folder / MEMBERS, names)
    return folders


def reopen(folder: Path, ensemble: Ensemble) -> list[RunFolder]:
    """The folders of an ensemble to continue; its evaluators get the sequences stored there."""
    from safetensors.torch import load_file

    folders = []
    for i, (path, settings) in enumerate(zip(member_paths(folder), ensemble.members, strict=True)):
        kind = "file of evaluation sequences"
        with foreign_parser(path / STORED, kind, error=CheckpointError):
            sequences = load_file(path / STORED)
            evaluators = restored(ensemble.evaluators[i], sequences, ensemble.device)
        ensemble.evaluators[i] = evaluators
        if RunFolder.open(path).settings != settings:
            write_settings(settings, path / SETTINGS)
        folders.append(RunFolder(path, settings))
    return folders


def computed_with(ensemble: Ensemble) -> dict[str, str]:
    """What computes an ensemble, for ``run.json``."""
    device = str(ensemble.device)
    return {"torch": torch.__version__, "device": device, **ensemble.computed_by()}


def continued_settings(
    folder: Path, wanted: Sequence[TrainingSettings]
) -> tuple[TrainingSettings, ...]:
    """The settings to continue with: ``wanted`` if they agree with the stored ones, or those."""
    whole = folder.resolve().parent
    if (whole / MEMBERS).is_file() and folder.resolve() in member_paths(whole):
        raise ValueError(
            f"{folder} is a member of an ensemble and has no checkpoints of its own: continue "
            f"{whole} instead"
        )
    present = stored_settings(folder)
    if not wanted:
        return present
    if len(wanted) != len(present):
        raise ValueError(f"{folder} holds {len(present)} runs, not {len(wanted)}")
    for old, new in zip(present, wanted, strict=True):
        if (section := another_run(old, new)) is not None:
            raise ValueError(
                f"{folder} holds a run with other {section} settings; continue it without "
                "settings, or choose another folder"
            )
    return tuple(wanted)
