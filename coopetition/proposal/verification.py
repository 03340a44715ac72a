"""The verb `verify`: proposals are trained, and what was predicted is compared with what came.

Everything measured goes to ``verdicts.json`` beside the predictions, after each run, so that an
interrupted verification continues; the predictions themselves are only read, and refused if they
were changed after the first verdict.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..curves.curve import Curves
from ..errors import CoopetitionError, Interrupted
from ..files import provenance, sha256_of, write_atomically
from ..forecasting.settings_map import SettingsMap, load_map
from ..logs import read_curves
from .knowledge import with_runs
from .storage import MAP, PREDICTIONS, RUNS, VERDICTS, StoredPrediction, read_predictions
from .verified import Verification, Verified, compared

if TYPE_CHECKING:
    from ..settings.training import TrainingSettings

FORMAT = "coopetition verdicts 1"
NEAR = 0.999  # share of the budget that a finished run has reached


Trainer = Callable[["TrainingSettings", Path], None]


def verify(
    folder: str | os.PathLike[str],
    *,
    device: str = "auto",
    train_missing: bool = True,
    progress: bool = True,
    trainer: Trainer | None = None,
) -> Verification:
    """Train what is not trained yet of a folder of proposals, and compare.

    Parameters
    ----------
    folder
        Written by `coopetition propose -o`. Runs lie in ``runs/NAME``; finished ones are read,
        broken-off ones continued.
    device
        Where to train.
    train_missing
        Whether to train at all; if not, proposals without a finished run are only named.
    progress
        Whether to show progress on stderr.
    trainer
        What trains settings into a folder, and leaves ``curves.csv`` and ``settings.yaml`` there;
        our trainer when None.

    Returns
    -------
    Verification
        With the reason for each proposal whose training failed, which stops no other.

    Raises
    ------
    CoopetitionError
        If the predictions cannot be read or were changed since the first verdict; if a run was
        trained with other settings than predicted; if training is interrupted (what is finished
        is kept); if another process verifies the folder.
    """
    from ..train.folder.ownership import owned

    folder = Path(folder).expanduser()
    with owned(folder, required=False):
        return _verified(folder, device, train_missing, progress, trainer)


def _verified(
    folder: Path, device: str, train_missing: bool, progress: bool, trainer: Trainer | None
) -> Verification:
    predictions = read_predictions(folder)
    digest = sha256_of(folder / PREDICTIONS)
    read_verdicts(folder)  # refuses predictions other than those of the verdicts already there
    runs = [folder / RUNS / prediction.name for prediction in predictions]
    for prediction, run in zip(predictions, runs, strict=True):
        require_as_predicted(prediction, run)
    results: dict[str, Verified] = {}
    failed: dict[str, str] = {}
    # what is finished first: verdicts that were written before stay written, come what may
    for prediction, run in zip(predictions, runs, strict=True):
        curves = finished(run, prediction.budget)
        if curves is not None:
            results[prediction.name] = compared(prediction, curves, run)
    if results:
        _write(folder, digest, _so_far(predictions, results, failed))
    for prediction, run in zip(predictions, runs, strict=True):
        if prediction.name in results or not train_missing:
            continue
        try:
            curves = _trained(prediction, run, device, progress, trainer)
            results[prediction.name] = compared(prediction, curves, run)
        except Interrupted:
            raise
        except CoopetitionError as error:  # of this run; the others are no worse for it
            failed[prediction.name] = str(error)
        _write(folder, digest, _so_far(predictions, results, failed))
    return _so_far(predictions, results, failed)


def read_verdicts(folder: str | os.PathLike[str]) -> Mapping[str, Any] | None:
    """What verification wrote of the predictions in a folder; None where it has not yet.

    Raises
    ------
    CoopetitionError
        If it is damaged, or of other predictions than those that are there.
    """
    folder = Path(folder).expanduser()
    path = folder / VERDICTS
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before = content["predictions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CoopetitionError(f"{path} is damaged ({error}); move it away") from error
    if before != sha256_of(folder / PREDICTIONS):
        raise CoopetitionError(
            f"{folder / PREDICTIONS} was changed after it was first verified: predictions "
            "made before a run are not rewritten; restore it"
        )
    found: Mapping[str, Any] = content
    return found


def require_as_predicted(prediction: StoredPrediction, run: Path) -> None:
    """Refuse a run of other settings than those the prediction is of."""
    from ..settings.yaml_files import another_run, read_settings

    settings = run / "settings.yaml"
    remedy = f"move {run} away, to have the proposal trained"
    if not settings.exists():
        if finished(run, prediction.budget) is not None:
            raise CoopetitionError(f"{run} does not say what it was trained with: {remedy}")
        return
    try:
        section = another_run(read_settings(settings), read_settings(prediction.settings))
    except ValueError as error:
        raise CoopetitionError(f"{error}; {remedy}") from error
    if section is not None:
        raise CoopetitionError(
            f"{run} was trained with other {section} settings than {prediction.settings}, which "
            f"the prediction is of: {remedy}"
        )


def finished(run: Path, budget: float) -> Curves | None:
    """The curves of a run that reached the budget, else None."""
    if not (run / "curves.csv").is_file():
        return None
    try:
        curves = next(iter(read_curves(run)))
    except CoopetitionError:  # a run broken off before its first evaluation
        return None
    return curves if curves.last_sequence >= NEAR * budget else None


def updated_map(folder: str | os.PathLike[str], verification: Verification) -> SettingsMap:
    """The map that predicted, with what the verified runs say; the old one stays as it is."""
    settings_map = load_map(Path(folder) / MAP)
    runs = []
    for one in verification.results:
        (curves,) = read_curves(one.run)
        # proposals of every folder have the same names
        own = f"{Path(folder).resolve().name}/{curves.run}"
        runs.append(dataclasses.replace(curves, run=own))
    return with_runs(settings_map, runs)


def _so_far(
    predictions: Sequence[StoredPrediction],
    results: Mapping[str, Verified],
    failed: Mapping[str, str],
) -> Verification:
    names = [one.name for one in predictions]
    return Verification(
        results=tuple(results[name] for name in names if name in results),
        unfinished=tuple(name for name in names if name not in results),
        failed=dict(failed),
    )


def _trained(
    prediction: StoredPrediction, run: Path, device: str, progress: bool, trainer: Trainer | None
) -> Curves:
    """The curves of a proposal that is trained, or trained on, to its budget."""
    from ..settings.yaml_files import read_settings

    settings = read_settings(prediction.settings)
    try:
        if trainer is not None:
            trainer(settings, run)
        else:
            from ..train.loop import train

            train(settings, run, resume=True, device=device, progress=progress)
    except Interrupted as error:  # whose message names an option of train
        raise Interrupted(
            f"interrupted while {prediction.name} was trained; run verify again, which continues it"
        ) from error
    require_as_predicted(prediction, run)
    curves = finished(run, prediction.budget)
    if curves is None:
        raise CoopetitionError(
            f"{run} ends before the budget of {prediction.budget:,.0f} sequences; raise "
            f"run.sequences in {prediction.settings}"
        )
    return curves


def _write(folder: Path, digest: str, verification: Verification) -> None:
    content = {
        "format": FORMAT,
        **provenance("verify", {}, inputs=[folder / PREDICTIONS]),
        "predictions": digest,
        **verification.as_dict(),
    }
    write_atomically(folder / VERDICTS, json.dumps(content, indent=1))
