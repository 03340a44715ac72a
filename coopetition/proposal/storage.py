"""Proposals on disk: the predictions, once written, stay as they are."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..curves.verdicts import Verdict, most_probable
from ..errors import CoopetitionError
from ..files import provenance, sha256_of, write_atomically
from ..forecasting.settings_map import SettingsMap, save_map
from .result import Proposal, Proposals

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "coopetition proposals 1"
PREDICTIONS, MAP, FRONTIER = "proposals.json", "map.json", "frontier.csv"
RUNS, VERDICTS = "runs", "verdicts.json"  # what `coopetition.proposal.verification` adds


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredPrediction:
    """What was predicted of one proposal before it was trained.

    Parameters
    ----------
    name
        Of the proposal.
    settings
        Its settings file.
    curves
        Its predicted curves: a table ``evaluator, sequences, value, lower, upper``.
    budget
        Sequences at which ICL is to be there.
    level
        Of the bands.
    verdict_probability
        Of ``persistent, transient, never``.
    changes
        From and to, by setting.
    cost
        Of the changes.
    mechanism
        Why, in words and numbers.
    """

    name: str
    settings: Path
    curves: Path
    budget: float
    level: float
    verdict_probability: Mapping[str, float]
    changes: Mapping[str, tuple[float, float]]
    cost: float
    mechanism: str

    @property
    def verdict(self) -> Verdict:
        """The most probable verdict."""
        return most_probable(self.verdict_probability)

    def table(self) -> pd.DataFrame:
        """The predicted curves."""
        import pandas as pd

        return pd.read_csv(self.curves)


def settings_file(folder: Path, proposal: Proposal) -> Path:
    """Where a proposal's settings are."""
    return folder / f"{proposal.name}.yaml"


def require_new(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds predictions, which are never rewritten, or runs of other ones.

    Raises
    ------
    ValueError
        If it does.
    """
    folder = Path(folder).expanduser()
    if (folder / PREDICTIONS).exists():
        raise ValueError(
            f"{folder} holds proposals already, and predictions are never rewritten: choose "
            "another folder"
        )
    for name in (RUNS, VERDICTS):
        if (folder / name).exists():
            raise ValueError(
                f"{folder} holds {name} of other proposals, which may bear the same names: choose "
                "another folder"
            )


def write_proposals(
    proposals: Proposals,
    folder: str | os.PathLike[str],
    settings_map: SettingsMap,
    *,
    settings: Mapping[str, Any] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    sources: Iterable[Mapping[str, Any]] = (),
) -> Path:
    """Write predictions, their curves, the frontier and the map; settings files lie there already.

    Parameters
    ----------
    proposals
        What was found.
    folder
        With a settings file ``NAME.yaml`` for each proposal.
    settings_map
        The map that predicted them.
    settings
        What the command was asked for.
    inputs, sources
        Files that were read and sources of curves, as `coopetition.files.provenance` takes them.

    Returns
    -------
    pathlib.Path
        Of the predictions.

    Raises
    ------
    ValueError
        If the folder holds predictions, or runs of other ones.
    CoopetitionError
        If a settings file is missing.
    """
    import pandas as pd

    folder = Path(folder).expanduser()
    require_new(folder)
    files = [settings_file(folder, proposal) for proposal in proposals.proposals]
    for file in files:
        if not file.is_file():
            raise CoopetitionError(f"{file} is missing: write the settings before the predictions")
    entries = []
    for proposal, file in zip(proposals.proposals, files, strict=True):
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
    content = {
        "format": FORMAT,
        **provenance(
            "propose",
            settings or {},
            seed=proposals.provenance["seed"],
            inputs=inputs,
            sources=sources,
        ),
        "budget": proposals.budget,
        "sure": proposals.sure,
        "base": {k: v for k, v in proposals.base.items() if isinstance(v, str | int | float)},
        "base_forecast": proposals.base_forecast.as_dict(),
        "base_log": proposals.base_as_dict()["log"],
        "search": dict(proposals.provenance),
        "notes": list(proposals.notes),
        "proposals": entries,
    }
    return write_atomically(folder / PREDICTIONS, json.dumps(content, indent=1))


def read_predictions(folder: str | os.PathLike[str]) -> tuple[StoredPrediction, ...]:
    """The predictions in a folder.

    Raises
    ------
    CoopetitionError
        If there are none, they are damaged, or a settings file or predicted curves were changed
        since.
    """
    folder = Path(folder).expanduser()
    path = folder / PREDICTIONS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CoopetitionError(
            f"cannot read predictions from {path} ({error}); make them with coopetition propose -o"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CoopetitionError(f"{path} holds no predictions (format is not {FORMAT!r})")
    try:
        found = []
        for entry in content["proposals"]:
            settings = folder / entry["settings"]
            curves = folder / entry["forecast"]["curves"]
            # files of earlier versions hold no checksum of the curves
            for file, digest in ((settings, entry["sha256"]), (curves, entry.get("curves_sha256"))):
                if not file.is_file() or digest not in (None, sha256_of(file)):
                    raise CoopetitionError(
                        f"{file} is not what was predicted: restore it, or propose anew elsewhere"
                    )
            found.append(
                StoredPrediction(
                    name=entry["name"],
                    settings=settings,
                    curves=curves,
                    budget=float(content["budget"]),
                    level=float(entry["forecast"]["level"]),
                    verdict_probability=entry["verdict_probability"],
                    changes={name: (a, b) for name, (a, b) in entry["changes"].items()},
                    cost=float(entry["cost"]),
                    mechanism=str(entry["mechanism"]),
                )
            )
    except (KeyError, TypeError, ValueError) as error:
        raise CoopetitionError(f"{path} is damaged ({error!r}); propose anew elsewhere") from error
    return tuple(found)
