"""Many runs from one file: settings, and what varies between the runs.

A sweep's file is a settings file (`coopetition.settings.yaml_files`) with one or both of two more
sections. ``grid`` names settings and lists their values; every combination is a run. ``runs`` lists
changes that belong together; every entry is a run, or every entry with every combination.

    preset: cpu-transient
    run: {sequences: 100000}
    grid:
      sequences.match_probability: [0, 0.5, 1]
      run.seed: [0, 1]
    runs:
      - {}
      - {name: decayed, optimisation.weight_decay: 0.1, optimisation.weight_decay_on: attention}
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...settings.training import TrainingSettings
from ...settings.yaml_files import from_plain, read_yaml, with_overrides

SECTIONS = ("grid", "runs")
UNSAFE = re.compile(r"[^\w.+=-]+")  # characters kept out of folder names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs that differ in some settings.

    Parameters
    ----------
    name
        The sweep's name.
    members
        The settings of each run; names differ.
    varied
        The settings that differ between runs, as ``section.name``.

    Raises
    ------
    ValueError
        If there is no run, or two have one name.
    """

    name: str
    members: tuple[TrainingSettings, ...]
    varied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError(f"sweep {self.name} has no run; give at least one value of a setting")
        names = [member.name for member in self.members]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"sweep {self.name} has {names.count(name)} runs named {name!r}; drop repeated "
                    "values, or give each entry of runs a name"
                )


def is_sweep(path: str | Path) -> bool:
    """Whether a settings file describes several runs."""
    path = Path(path).expanduser()
    if not path.is_file():
        return False
    values = read_yaml(path)
    return isinstance(values, Mapping) and any(section in values for section in SECTIONS)


def read_sweep(path: str | Path, *, overrides: Iterable[str] = (), seeds: int = 1) -> Sweep:
    """The sweep in a file.

    Parameters
    ----------
    path
        A settings file with ``grid``, ``runs``, both, or neither (a single run).
    overrides
        Changes ``section.name=value`` of all runs.
    seeds
        Number of seeds of each run, counted up from the common settings' seed.

    Raises
    ------
    ValueError
        If the file does not exist, or holds names or values that are not allowed; the message
        names the file and the entry.
    """
    path = Path(path).expanduser()
    values = read_yaml(path)
    if not isinstance(values, Mapping):
        raise ValueError(f"{path}: expected sections such as 'grid:', not {values!r}")
    common = {name: value for name, value in values.items() if name not in SECTIONS}
    grid, runs, overrides = values.get("grid") or {}, values.get("runs") or (), tuple(overrides)
    overridden = {override.partition("=")[0].strip() for override in overrides}
    try:
        for name in overridden & set(checked_grid(grid)):
            raise ValueError(f"{name} is given twice: as a change and in grid; drop one")
        base = with_overrides(from_plain({"name": path.stem, **common}), overrides)
        return make_sweep(base, grid=grid, runs=runs, seeds=seeds)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def make_sweep(
    base: TrainingSettings,
    *,
    grid: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]] | None = None,
    runs: Sequence[Mapping[str, Any]] = (),
    seeds: int = 1,
) -> Sweep:
    """Runs that differ from ``base``, named by how they do.

    Parameters
    ----------
    base
        The common settings; the sweep has their name.
    grid
        Values of each setting, named ``section.name``; every combination is a run.
    runs
        Changes that belong together, ``section.name: value``; a ``name`` among them names the run.
    seeds
        Number of seeds of each run, as if ``grid`` listed ``run.seed``.

    Raises
    ------
    ValueError
        If a setting does not exist, a value is not allowed, or two runs would have one name.

    Examples
    --------
    >>> sweep = make_sweep(TrainingSettings(name="map"), grid={"run.seed": [0, 1]})
    >>> [member.name for member in sweep.members]
    ['seed=0', 'seed=1']
    """
    axes = dict(checked_grid(grid or {}))
    if seeds > 1:
        if "run.seed" in axes:
            raise ValueError(f"seeds = {seeds}: grid lists run.seed already; give one of the two")
        axes["run.seed"] = range(base.run.seed, base.run.seed + seeds)
    entries = checked_runs(runs) or [{}]
    for path in itertools.chain(*entries):
        if path in axes:
            raise ValueError(f"{path} is given twice: in grid and in an entry of runs; drop one")
    combinations = [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]
    varied = [path for path in dict.fromkeys(itertools.chain(*entries, axes)) if path != "name"]
    short = shortest_names(varied)
    members = []
    for entry, combination in itertools.product(entries, combinations):
        changes = {**entry, **combination}
        name = changes.pop("name", None)
        parts = [str(name)] if name else []
        in_name = combination if name else changes
        parts += [f"{short[path]}={text_of(value)}" for path, value in in_name.items()]
        overrides = [f"{path}={json.dumps(value, default=str)}" for path, value in changes.items()]
        member = with_overrides(base, overrides)
        members.append(member.replace(name="_".join(parts) or base.name))
    return Sweep(name=base.name, members=tuple(members), varied=tuple(varied))


def checked_grid(grid: Any) -> dict[str, Sequence[Any]]:
    """The grid as lists; ValueError unless every setting in it has a list of values."""
    if not isinstance(grid, Mapping):
        raise ValueError(f"grid = {grid!r}: write 'section.name: [value, value]' below it")
    axes = {
        str(path): values.tolist() if isinstance(values, np.ndarray) else values
        for path, values in grid.items()
    }
    for path, values in axes.items():
        if not isinstance(values, list | tuple | range) or not values:
            raise ValueError(f"grid.{path} = {values!r}: give a list of values, such as [0, 1]")
        if path == "name":
            raise ValueError("grid.name: runs are named by what varies; give names under runs")
    return axes


def checked_runs(runs: Any) -> list[dict[str, Any]]:
    """The entries; ValueError unless each is a mapping."""
    if not isinstance(runs, list | tuple):
        raise ValueError(f"runs = {runs!r}: write a list of entries '- section.name: value'")
    for entry in runs:
        if not isinstance(entry, Mapping):
            raise ValueError(f"runs has the entry {entry!r}; write '- section.name: value'")
    return [dict(entry) for entry in runs]


def shortest_names(paths: Sequence[str]) -> dict[str, str]:
    """Each setting without its section where that is unique: ``run.seed`` is ``seed``."""
    last = [path.rpartition(".")[2] for path in paths]
    return {p: n if last.count(n) == 1 else p for p, n in zip(paths, last, strict=True)}


def text_of(value: Any) -> str:
    """A value as part of a run's name."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return UNSAFE.sub("-", text).strip("-") or "none"
