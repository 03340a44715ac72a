"""A folder of proposals: settings, predictions that are never rewritten, and verdicts.

``NAME.yaml`` and ``NAME.curves.csv`` of each proposal, ``proposals.json``, ``frontier.csv`` and
``map.json`` are written by `propose`; ``runs/NAME`` and ``verdicts.json`` by `verify`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from ..curves.verdicts import VERDICTS as VERDICT_NAMES
from ..curves.verdicts import Verdict, most_probable
from ..errors import CoopetitionError
from ..files import foreign_parser, provenance, read_stored, sha256_of, write_atomically
from ..forecasting.settings_map import SettingsMap, save_map
from ..settings.names import with_short_names
from ..settings.training import TrainingSettings, checked_name
from ..settings.yaml_files import write_settings
from .result import Proposals

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS, MAP, FRONTIER = "proposals.json", "map.json", "frontier.csv"
RUNS, VERDICTS = "runs", "verdicts.json"
FORMAT = 2  # of predictions and of verdicts
SEEDS = 1000  # the first proposal's seed; each has one of its own


Name = Annotated[str, pydantic.AfterValidator(checked_name)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Probabilities = Annotated[dict[Verdict, Share], pydantic.Field(min_length=len(VERDICT_NAMES))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Forecast:
    curves: Name
    level: Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """A proposal in ``proposals.json``."""

    name: Name
    settings: Name
    sha256: str
    curves_sha256: str
    changes: dict[str, tuple[pydantic.FiniteFloat, pydantic.FiniteFloat]]
    verdict_probability: Probabilities
    cost: pydantic.FiniteFloat
    mechanism: str
    forecast: _Forecast


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Predictions:
    """The content of ``proposals.json``."""

    budget: Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)]
    proposals: tuple[_Entry, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredVerdict:
    """A proposal in ``verdicts.json``, part of what `Verified.as_dict` writes."""

    name: Name
    predicted: Verdict
    verdict_probability: Probabilities
    measured: Verdict
    came_true: bool
    peak_flip: float
    final_flip: float
    brier: float
    coverage: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredVerdicts:
    """The content of ``verdicts.json``."""

    predictions: str  # checksum of ``proposals.json``
    results: tuple[StoredVerdict, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredPrediction:
    """The prediction for one proposal, made before it was trained."""

    name: str
    settings: Path  # its settings file
    curves: Path  # its predicted curves: evaluator, metric, sequences, value, lower, upper
    budget: float  # sequences at which ICL should persist
    level: float  # of the bands
    verdict_probability: Mapping[str, float]
    changes: Mapping[str, tuple[float, float]]  # from and to, by setting
    cost: float
    mechanism: str  # why, in words and numbers

    @property
    def verdict(self) -> Verdict:
        """The most probable verdict."""
        return most_probable(self.verdict_probability)

    def table(self) -> pd.DataFrame:
        """The predicted curves."""
        import pandas as pd

        numbers = ("sequences", "value", "lower", "upper")
        types = {"evaluator": str, "metric": str, **dict.fromkeys(numbers, float)}
        remedy = "propose into a new folder"
        with foreign_parser(
            self.curves, "table of predicted curves", remedy=remedy, error=CoopetitionError
        ):
            return pd.read_csv(self.curves, usecols=list(types), dtype=types)


def require_new(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds predictions, which are never rewritten, or runs or verdicts."""
    folder = Path(folder).expanduser()
    contents = {PREDICTIONS: "proposals already, and predictions are never rewritten"}
    for name in (RUNS, VERDICTS):
        contents[name] = f"{name} of other proposals, which may have the same names"
    for name, content in contents.items():
        if (folder / name).exists():
            raise ValueError(f"{folder} holds {content}: choose another folder")


def write_proposals(
    proposals: Proposals,
    folder: str | os.PathLike[str],
    settings_map: SettingsMap,
    base: TrainingSettings,
    *,
    settings: Mapping[str, Any] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sources: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Path]:
    """Write a folder of proposals; returns the settings files by name of the proposal.

    Settings files are ``base`` with changes; ``settings`` (of the command), ``inputs`` and
    ``sources`` go to `coopetition.files.provenance`. A `ValueError` refuses a folder that already
    holds proposals, runs or verdicts.
    """
    import pandas as pd

    folder = Path(folder).expanduser()
    require_new(folder)
    changed = []  # made before the folder, so that a refusal leaves nothing behind
    for number, proposal in enumerate(proposals.proposals):
        one = with_short_names(base, {n: to for n, (_, to) in proposal.changes.items()})
        run = one.run.replace(seed=SEEDS + number, sequences=round(proposals.budget))
        changed.append(one.replace(name=proposal.name, run=run))
    folder.mkdir(parents=True, exist_ok=True)
    files, entries = {}, []
    for proposal, to_train in zip(proposals.proposals, changed, strict=True):
        file = files[proposal.name] = folder / f"{proposal.name}.yaml"
        write_settings(to_train, file)
        table = folder / f"{proposal.name}.curves.csv"
        write_atomically(table, proposal.forecast.to_table().to_csv(index=False))
        entries.append(
            {
                **proposal.as_dict(file.name),
                "sha256": sha256_of(file),
                "curves_sha256": sha256_of(table),
                "forecast": proposal.forecast.as_dict(table.name),
            }
        )
    rows = [
        {"cost": s.candidate.cost, "persistent": s.persistent, **s.candidate.changes}
        for s in proposals.frontier
    ]
    write_atomically(folder / FRONTIER, pd.DataFrame(rows).to_csv(index=False))
    save_map(settings_map, folder / MAP)
    seed = proposals.provenance["seed"]
    content = {
        "format": f"coopetition proposals {FORMAT}",
        **provenance("propose", settings or {}, seed=seed, inputs=inputs, sources=sources),
        "budget": proposals.budget,
        "sure": proposals.sure,
        "base": {k: v for k, v in proposals.base.items() if isinstance(v, str | int | float)},
        "base_forecast": proposals.base_forecast.as_dict(),
        "base_log": proposals.base_as_dict()["log"],
        "search": dict(proposals.provenance),
        "notes": list(proposals.notes),
        "proposals": entries,
    }
    write_atomically(folder / PREDICTIONS, json.dumps(content, indent=1))
    return files


def read_predictions(folder: str | os.PathLike[str]) -> tuple[StoredPrediction, ...]:
    """The predictions in a folder; a `CoopetitionError` if there are none, or they were changed."""
    folder = Path(folder).expanduser()
    remedy = "propose anew, with coopetition propose -o and another folder"
    stored = read_stored(
        folder / PREDICTIONS, _Predictions, kind="proposals", number=FORMAT, remedy=remedy
    )
    predictions = []
    for entry in stored.proposals:
        settings, curves = folder / entry.settings, folder / entry.forecast.curves
        for file, digest in ((settings, entry.sha256), (curves, entry.curves_sha256)):
            if not file.is_file() or digest != sha256_of(file):
                raise CoopetitionError(
                    f"{file} is not what was predicted: restore it, or propose into a new folder"
                )
        predictions.append(
            StoredPrediction(
                name=entry.name,
                settings=settings,
                curves=curves,
                budget=stored.budget,
                level=entry.forecast.level,
                verdict_probability={str(v): p for v, p in entry.verdict_probability.items()},
                changes=entry.changes,
                cost=entry.cost,
                mechanism=entry.mechanism,
            )
        )
    return tuple(predictions)


def read_verdicts(folder: str | os.PathLike[str]) -> StoredVerdicts | None:
    """The verdicts in a folder, None if there are none yet.

    A `CoopetitionError` refuses damaged ones, and predictions that were changed since.
    """
    folder = Path(folder).expanduser()
    path = folder / VERDICTS
    if not path.exists():
        return None
    remedy = "move it away and verify again"
    verdicts = read_stored(path, StoredVerdicts, kind="verdicts", number=FORMAT, remedy=remedy)
    if verdicts.predictions != sha256_of(folder / PREDICTIONS):
        raise CoopetitionError(
            f"{folder / PREDICTIONS} was changed after the first verification, but predictions "
            "are never rewritten: restore it"
        )
    return verdicts


def write_verdicts(folder: Path, predictions: str, results: Mapping[str, Any]) -> None:
    """Write the verdicts of the predictions with that checksum."""
    content = {
        "format": f"coopetition verdicts {FORMAT}",
        **provenance("verify", {}, inputs=[folder / PREDICTIONS]),
        "predictions": predictions,
        **results,
    }
    write_atomically(folder / VERDICTS, json.dumps(content, indent=1))
