"""The base that proposals change: its settings, its own log, and what can be trained from it."""

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
    sequences: float  # where that curve ends

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """One line."""
        return f"its log, run {self.run}: ICL is {self.verdict} at {self.sequences:,.0f} sequences"


def base_log(curves: Curves) -> BaseLog | None:
    """The verdict of a log; None if it has fewer than two points of flip accuracy."""
    flip = curves.accuracy("flip")
    if flip is None or len(flip) < 2:
        return None
    return BaseLog(run=curves.run, verdict=verdict(curves), sequences=float(flip.sequences[-1]))


def base_settings(base: Mapping[str, Any] | TrainingSettings) -> dict[str, Any]:
    """The base by short names, with its kind of data.

    Without ``original``: it holds the whole settings file, which changes would contradict.
    """
    base = short_names(base)
    named = {name: value for name, value in base.items() if name != "original"}
    return {**named, "data_kind": data_kind(base)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    """Where a search for proposals starts."""

    short: Mapping[str, Any]  # settings by short name
    full: TrainingSettings  # what is trained with changes
    sequences: float  # length of its run
    log: Curves | None  # of its own run


def base_of(logs: Sequence[Curves], settings: Path | None) -> Base:
    """The base that a settings file describes, else the run of the first log.

    With a settings file, the first log counts as the base's own only if it has no settings.
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
    """Refuse moves to settings that cannot be trained, or that settings files would not train.

    Predictions are for the base's short names; settings files, if ``written``, change its full
    settings. If only the data differ (our trainer cannot make those of published runs), a note is
    returned.
    """
    reason = unusable(base.short)
    if reason is not None:
        raise ValueError(
            f"the base was {reason}: maps do not describe such training; give another base, its "
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
                    "the settings files of -o would train other settings than those predicted "
                    f"({listed}); {REMEDY}"
                )
    predicted, trained = data_kind(base.short), data_kind(short_names(base.full))
    if not written or predicted == trained:
        return ()
    return (
        f"predicted for data of kind {predicted}, like the base's; the settings files "
        f"train on data of kind {trained}, where probabilities may differ; to predict for those, "
        f"{REMEDY}",
    )
