"""What proposals start from: a base's settings, what its own log shows, and what can be trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..curves.curve import Curves
from ..curves.verdicts import Verdict, verdict
from ..settings.covariates import data_kind, unusable
from ..settings.names import from_short_names, short_names, unlike, with_short_names
from ..settings.training import TrainingSettings
from ..settings.yaml_files import read_settings
from .moves import Move

LEVELS = 8  # of a setting's range at which it is tried whether such settings can be trained
REMEDY = "describe the base that you will train in a file, --settings BASE.yaml"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseLog:
    """The verdict of the base's own log."""

    run: str
    verdict: Verdict  # at the end of its flip curve
    sequences: float  # where that is

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """One line."""
        return f"its log, run {self.run}: ICL is {self.verdict} at {self.sequences:,.0f} sequences"


def base_log(curves: Curves) -> BaseLog | None:
    """What a log shows; None where it holds no two points of flip accuracy."""
    flip = curves.accuracy("flip")
    if flip is None or len(flip) < 2:
        return None
    return BaseLog(run=curves.run, verdict=verdict(curves), sequences=float(flip.sequences[-1]))


def base_settings(base: Mapping[str, Any] | TrainingSettings) -> dict[str, Any]:
    """The base by short names alone, with its kind of data told by name.

    Curves of our trainer keep the whole settings file under ``original``, which would go on
    saying what a changed setting was before.
    """
    base = short_names(base)
    kept = {name: value for name, value in base.items() if name != "original"}
    return {**kept, "data_kind": data_kind(base)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    """Where a search for proposals starts."""

    short: Mapping[str, Any]  # settings by short name
    full: TrainingSettings  # what is trained with changes
    sequences: float  # length of its run
    log: Curves | None  # of its own run


def base_of(logs: Sequence[Curves], settings: Path | None) -> Base:
    """The base that a settings file describes, else the run of the first log.

    Beside a settings file the first log is the base's only where it has no settings of its own.
    """
    first = logs[0] if logs else None
    if settings is not None:
        full = read_settings(settings)
        own = first if first is not None and not first.settings else None
        return Base(short=short_names(full), full=full, sequences=full.run.sequences, log=own)
    if first is None:
        raise ValueError("no base: give FIT.json, a LOG or --settings BASE.yaml")
    if not first.settings:
        raise ValueError(
            f"the log of run {first.run} does not hold its settings: give --settings BASE.yaml"
        )
    full = from_short_names(first.settings)
    return Base(short=first.settings, full=full, sequences=first.last_sequence, log=first)


def require_trainable(base: Base, moves: Sequence[Move], *, written: bool) -> tuple[str, ...]:
    """Refuse moves to settings that cannot be trained, and files that would train other settings.

    Predictions are made for the base by short names, settings files (where they are ``written``)
    from the full one. That only the data are others (those of published runs are not made by our
    trainer) is returned as a note, not refused.
    """
    strange = unusable(base.short)
    if strange is not None:
        raise ValueError(
            f"the base was {strange}: maps do not describe such training; give another base, its "
            "log or --settings BASE.yaml"
        )
    short = base_settings(base.short)
    for move in moves:
        for value in {move.at(level / LEVELS) for level in range(LEVELS + 1)}:
            try:
                changed = with_short_names(base.full, {move.setting: value})
            except ValueError as error:
                raise ValueError(f"--move {move.setting}: cannot be trained, {error}") from None
            differences = unlike({**short, move.setting: value}, changed) if written else {}
            if differences.keys() - {"data_kind"}:
                listed = "; ".join(f"{name}: {text}" for name, text in differences.items())
                raise ValueError(
                    "predictions would be for other settings than the files of -o train "
                    f"({listed}); {REMEDY}"
                )
    predicted, trained = data_kind(base.short), data_kind(short_names(base.full))
    if not written or predicted == trained:
        return ()
    return (
        f"predicted for data of kind {predicted}, as the base's; the settings files train on "
        f"{trained} ones, where probabilities may be others; to have these predicted, {REMEDY}",
    )
