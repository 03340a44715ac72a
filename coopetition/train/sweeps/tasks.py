"""Tasks for workers: a run, or runs to train as one ensemble, and their folder.

Tasks and results are plain data, so that any executor can carry them to another process or machine
that sees the same file system. A task's folder holds, beside a run's files
(`coopetition.train.folder.run_folder`),

==================  ================================================================================
``attempts.jsonl``  a line for each attempt: process, host, time, sequences at its beginning
``finished.json``   the settings and results of the finished task, which is not trained again
==================  ================================================================================
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...settings.training import SETTINGS, TrainingSettings
from ...settings.yaml_files import CHANGEABLE, as_plain, from_plain

FINISHED, ATTEMPTS = "finished.json", "attempts.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One run, or runs that train as one."""

    folder: str  # absolute
    members: tuple[dict[str, Any], ...]  # their settings, plain
    device: str = "auto"  # as the worker sees it
    threads: int = 1  # CPU threads where the settings name none; their number affects rounding

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names."""
        return tuple(str(member["name"]) for member in self.members)

    def settings(self) -> tuple[TrainingSettings, ...]:
        """The runs' settings."""
        return tuple(from_plain(member) for member in self.members)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The result of a task."""

    runs: tuple[dict[str, Any], ...] = ()  # if finished: name, folder, sequences, seconds, diverged
    error: str = ""  # one line
    retry: bool = False  # whether another attempt could succeed


def make_tasks(
    members: Sequence[TrainingSettings],
    folder: Path,
    *,
    largest: int = 1,
    begun: Mapping[str, Sequence[str]] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> tuple[Task, ...]:
    """Runs grouped into tasks, each with a folder in ``folder``.

    A group has at most ``largest`` runs, which differ in numbers alone. The groups of ``begun``
    (names of the runs by task folder) stay whatever ``largest`` is: a run continues where it began,
    and an ensemble continues whole, also with runs that are no longer among ``members``.
    """
    if largest < 1:
        raise ValueError(f"ensemble size {largest}: a task has at least 1 run")
    order = {member.name: i for i, member in enumerate(members)}
    by_name = {member.name: member for member in members}
    groups: dict[str, list[TrainingSettings]] = {}
    for name, runs in (begun or {}).items():
        if group := begun_group(folder / name, runs, by_name):
            groups[name] = group
            by_name = {run: member for run, member in by_name.items() if run not in runs}
    alike: dict[str, list[TrainingSettings]] = {}
    for member in by_name.values():
        alike.setdefault(shared_settings(member), []).append(member)
    for together in alike.values():
        for start in range(0, len(together), largest):
            group = together[start : start + largest]
            groups[folder_name(group, taken={*groups, *(begun or {})})] = group
    tasks = [
        Task(
            folder=str((folder / name).resolve()),
            members=tuple(as_plain(member) for member in group),
            device=device,
            threads=threads,
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(tasks, key=lambda t: min(order[n] for n in t.names if n in order)))


def begun_group(
    folder: Path, runs: Sequence[str], wanted: Mapping[str, TrainingSettings]
) -> list[TrainingSettings]:
    """A recorded group's members, with stored settings if not ``wanted``; empty if none is."""
    from ..folder.ensemble_folder import holds_run, stored_settings

    members = [wanted[run] for run in runs if run in wanted]
    if len(members) in (0, len(runs)):
        return members
    if not holds_run(folder):
        return []
    shared = {name: getattr(members[0].run, name) for name in CHANGEABLE}
    return [
        wanted.get(member.name, member.replace(run=member.run.replace(**shared)))
        for member in stored_settings(folder)
    ]


def folder_name(group: Sequence[TrainingSettings], *, taken: Collection[str] = ()) -> str:
    """The name of a task's folder: the run's, or the first run's and how many more."""
    first = group[0].name
    name = first if len(group) == 1 else f"{first}_and_{len(group) - 1}_more"
    numbered = (name, *(f"{name}-{n}" for n in range(2, len(taken) + 2)))
    return next(one for one in numbered if one not in taken)


def shared_settings(settings: TrainingSettings) -> str:
    """The settings that the runs of an ensemble must share, as text."""
    shared = as_plain(settings)
    del shared["name"], shared["source"]
    for setting in SETTINGS:
        if setting.members == "differ":
            del shared[setting.section][setting.name]
    return json.dumps(shared, sort_keys=True)


def finished_runs(folder: Path, members: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The recorded runs of a task finished with exactly these settings; empty if it is not."""
    try:
        record = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        if record["members"] == json.loads(json.dumps(list(members))):
            return list(record["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not finished, or its record is damaged: the worker looks at the run itself
    return []


def count_attempts(folder: Path) -> int:
    """How often a task was attempted."""
    try:
        return len((folder / ATTEMPTS).read_text(encoding="utf-8").splitlines())
    except OSError:
        return 0
