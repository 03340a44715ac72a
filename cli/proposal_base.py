"""What proposals start from: a base by short names, and the settings that are trained of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coopetition import Curves
    from coopetition.proposal import Move
    from coopetition.settings.training import TrainingSettings

LEVELS = 8  # of a setting's range at which it is tried whether such settings can be trained


def base_of(logs: list[Curves], settings: Path | None) -> tuple[dict[str, Any], TrainingSettings]:
    """The base by short names, and as settings that can be trained."""
    from coopetition.settings.names import settings_of_ours
    from coopetition.settings.short_names import from_short_names
    from coopetition.settings.yaml_files import as_plain as tree_of
    from coopetition.settings.yaml_files import read_settings

    if settings is not None:
        full = read_settings(settings)
        return settings_of_ours(tree_of(full)), full
    if not logs:
        raise ValueError("no base: give FIT.json, a LOG or --settings BASE.yaml")
    if not logs[0].settings:
        raise ValueError(
            f"the log of run {logs[0].run} does not hold its settings: give --settings BASE.yaml"
        )
    return dict(logs[0].settings), from_short_names(logs[0].settings)


def budget_of(given: float | None, end: float) -> float:
    """The sequences at which ICL is to be there, the end of the base's run where not given."""
    budget = end if given is None else given
    if not (math.isfinite(budget) and budget >= 1):
        raise ValueError(f"--budget {budget:g}: must be a number of sequences, at least 1")
    return budget


def log_of_base(logs: list[Curves], settings: Path | None) -> Curves | None:
    """The log that shows what became of the base itself, if there is one.

    Beside settings in a file the first log is the base's only where it has none of its own.
    """
    if not logs or (settings is not None and logs[0].settings):
        return None
    return logs[0]


def moves_of(texts: tuple[str, ...], base: dict[str, Any]) -> list[Move]:
    """What `--move` says of each setting, or the moves that are usual."""
    from coopetition.proposal import default_moves, parse_move

    found: dict[str, tuple[str, Move]] = {}
    for text in texts:
        move = parse_move(text, base)
        if move.setting in found:
            raise ValueError(
                f"--move {move.setting} is given twice: {found[move.setting][0]} and {text}"
            )
        found[move.setting] = text, move
    return [move for _, move in found.values()] or list(default_moves(base))


def require_trainable(
    short: dict[str, Any], full: TrainingSettings, allowed: list[Move], output: Path | None
) -> tuple[str, ...]:
    """Refuse moves to settings that cannot be trained, and files that would train other settings.

    Predictions are made for the base by short names, settings files from the full one. That only
    the data are others (those of published runs are not made by the trainer) is told, not refused.
    """
    from coopetition.proposal.candidates import plain
    from coopetition.settings.covariates import data_kind, unusable
    from coopetition.settings.names import settings_of_ours
    from coopetition.settings.short_names import unlike, with_short_names
    from coopetition.settings.yaml_files import as_plain

    strange = unusable(short)
    if strange is not None:
        raise ValueError(
            f"the base was {strange}: maps do not describe such training; give another base, its "
            "log or --settings BASE.yaml"
        )
    base = plain(short)
    for move in allowed:
        for value in {move.at(level / LEVELS) for level in range(LEVELS + 1)}:
            try:
                made = with_short_names(full, {move.setting: value})
            except ValueError as error:
                raise ValueError(f"--move {move.setting}: cannot be trained, {error}") from None
            if output is None:
                continue
            differences = unlike({**base, move.setting: value}, made)
            if differences.keys() - {"data_kind"}:
                told = "; ".join(f"{name}: {text}" for name, text in differences.items())
                raise ValueError(
                    f"-o {output}: predictions would be for other settings than the files train "
                    f"({told}); describe the base that you will train in a file, --settings "
                    "BASE.yaml"
                )
    kinds = data_kind(short), data_kind(settings_of_ours(as_plain(full)))
    if output is None or kinds[0] == kinds[1]:
        return ()
    return (
        f"predicted for data of kind {kinds[0]}, as the base's; the settings files train on "
        f"{kinds[1]} ones, where probabilities may be others; to have these predicted, describe "
        "the base that you will train in a file, --settings BASE.yaml",
    )
