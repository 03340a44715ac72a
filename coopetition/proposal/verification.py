"""The verb `verify`: proposals are trained, and what was predicted is compared with what came.

Everything measured goes to ``verdicts.json`` beside the predictions, after each run, so that an
interrupted verification continues; the predictions themselves are only read, and refused if they
were changed after the first verdict.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..curves.curve import Curves
from ..curves.landmarks import landmarks
from ..curves.verdicts import verdict
from ..errors import CoopetitionError, Interrupted, TrainingError
from ..files import sha256_of
from ..forecasting.scores import brier, coverage
from ..forecasting.settings_map import SettingsMap, load_map
from ..logs import read_curves
from ..settings.training import TrainingSettings
from ..settings.yaml_files import another_run, read_settings
from .map_updates import with_runs
from .proposals_folder import (
    MAP,
    PREDICTIONS,
    RUNS,
    StoredPrediction,
    read_predictions,
    read_verdicts,
    write_verdicts,
)

NEAR = 0.999  # share of the budget that a finished run has reached

Trainer = Callable[[TrainingSettings, Path], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """One prediction and what came of it."""

    prediction: StoredPrediction
    measured: str  # the verdict on the run at the budget
    peak_flip: float
    final_flip: float
    brier: float  # score of the probabilities of the verdicts, 0 to 2
    coverage: float  # share of the measured accuracies within their bands
    rmse: Mapping[str, float]  # of each evaluator's predicted median
    run: Path  # the run's folder

    @property
    def came_true(self) -> bool:
        """Whether the most probable verdict is the one measured."""
        return self.measured == self.prediction.verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        prediction = self.prediction
        return {
            "name": prediction.name,
            "settings": str(prediction.settings),
            "predicted": prediction.verdict,
            "verdict_probability": dict(prediction.verdict_probability),
            "measured": self.measured,
            "came_true": self.came_true,
            "peak_flip": self.peak_flip,
            "final_flip": self.final_flip,
            "brier": self.brier,
            "coverage": self.coverage,
            "rmse": dict(self.rmse),
            "run": str(self.run),
        }

    def summary(self) -> str:
        """One line."""
        predicted = self.prediction.verdict
        return (
            f"{self.prediction.name}: predicted {predicted} "
            f"({self.prediction.verdict_probability[predicted]:.2f}), measured {self.measured} "
            f"(peak flip {self.peak_flip:.2f}, final {self.final_flip:.2f}): "
            f"{'came true' if self.came_true else 'missed'}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
    """All verified predictions of a folder.

    Parameters
    ----------
    results
        One for each proposal that was trained.
    unfinished
        Names of the proposals that were not, or not to the budget.
    failed
        Why training failed, by name, for those among the unfinished with which it did.
    """

    results: tuple[Verified, ...]
    unfinished: tuple[str, ...] = ()
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def score(self) -> dict[str, Any]:
        """Hits, total, and means of the Brier score and the coverage; None where there is none."""
        total = len(self.results)
        return {
            "hits": sum(one.came_true for one in self.results),
            "total": total,
            "brier": float(np.mean([r.brier for r in self.results])) if total else None,
            "coverage": float(np.mean([r.coverage for r in self.results])) if total else None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "results": [one.as_dict() for one in self.results],
            "unfinished": list(self.unfinished),
            "failed": dict(self.failed),
            "score": self.score,
        }

    def summary(self) -> str:
        """A line for each result, the score, and what is not finished."""
        lines = [one.summary() for one in self.results] or ["nothing was verified"]
        score = self.score
        if score["total"]:
            lines.append(
                f"{score['hits']} of {score['total']} came true, Brier score {score['brier']:.3f}, "
                f"{100 * score['coverage']:.0f} % of the measured points within their bands"
            )
        lines += [f"{name}: failed" for name in self.failed]
        left = ", ".join(name for name in self.unfinished if name not in self.failed)
        if left:
            lines.append(f"not finished: {left}; train them with coopetition verify")
        return "\n".join(lines)

    def require(self) -> Verification:
        """Itself; a `TrainingError` says of which proposals the training failed, and why."""
        if self.failed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.failed.items())
            total = len(self.results) + len(self.unfinished)
            raise TrainingError(f"{len(self.failed)} of {total} proposals failed: {reasons}")
        return self


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
        return _verify(folder, device, train_missing, progress, trainer)


def _verify(
    folder: Path, device: str, train_missing: bool, progress: bool, trainer: Trainer | None
) -> Verification:
    predictions = read_predictions(folder)
    checksum = sha256_of(folder / PREDICTIONS)
    read_verdicts(folder)  # refuses predictions other than those of the verdicts already there
    results: dict[str, Verified] = {}
    failed: dict[str, str] = {}

    def so_far() -> Verification:
        names = [prediction.name for prediction in predictions]
        return Verification(
            results=tuple(results[name] for name in names if name in results),
            unfinished=tuple(name for name in names if name not in results),
            failed=dict(failed),
        )

    pairs = [(prediction, folder / RUNS / prediction.name) for prediction in predictions]
    for pair in pairs:
        require_as_predicted(*pair)
    # what is finished first: verdicts that were written before stay written, come what may
    for prediction, run in pairs:
        curves = finished(run, prediction.budget)
        if curves is not None:
            results[prediction.name] = compared(prediction, curves, run)
    if results:
        write_verdicts(folder, checksum, so_far().as_dict())
    for prediction, run in pairs:
        if prediction.name in results or not train_missing:
            continue
        try:
            curves = _trained(prediction, run, device, progress, trainer)
            results[prediction.name] = compared(prediction, curves, run)
        except Interrupted:
            raise
        except CoopetitionError as error:  # of this run; the others are no worse for it
            failed[prediction.name] = str(error)
        write_verdicts(folder, checksum, so_far().as_dict())
    return so_far()


def _trained(
    prediction: StoredPrediction, run: Path, device: str, progress: bool, trainer: Trainer | None
) -> Curves:
    """The curves of a proposal that is trained, or trained on, to its budget."""
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


def require_as_predicted(prediction: StoredPrediction, run: Path) -> None:
    """Refuse a run of other settings than those the prediction is of."""
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


def compared(prediction: StoredPrediction, curves: Curves, run: Path) -> Verified:
    """A prediction beside the curves that were measured, which must have a flip accuracy."""
    flip = curves.accuracy("flip")
    if flip is None:
        raise CoopetitionError(f"{run} has no flip accuracy: evaluate flip to verify a verdict")
    horizon = min(prediction.budget, curves.last_sequence)
    measured = verdict(curves, horizon)
    inside, rmse = [], {}
    for evaluator, rows in prediction.table().groupby("evaluator"):
        curve = curves.accuracy(str(evaluator))
        if curve is None:
            continue
        curve = curve.take((curve.sequences > 0) & (curve.sequences <= horizon))
        x = curve.sequences
        median, lower, upper = (
            np.interp(x, rows["sequences"], rows[name]) for name in ("value", "lower", "upper")
        )
        inside.append(coverage(lower, upper, curve.values))
        rmse[str(evaluator)] = float(np.sqrt(np.mean((curve.values - median) ** 2)))
    peak = landmarks(curves.until(horizon)).peak_flip
    return Verified(
        prediction=prediction,
        measured=measured,
        peak_flip=float("nan") if peak is None else peak.value,
        final_flip=float(np.interp(horizon, flip.sequences, flip.values)),
        brier=brier(prediction.verdict_probability, measured),
        coverage=float(np.mean(inside)) if inside else float("nan"),
        rmse=rmse,
        run=run,
    )


def updated_map(folder: str | os.PathLike[str], verification: Verification) -> SettingsMap:
    """The map that predicted, with what the verified runs say; the old one stays as it is."""
    runs = []
    for one in verification.results:
        (curves,) = read_curves(one.run)
        # proposals of every folder have the same names
        own_name = f"{Path(folder).resolve().name}/{curves.run}"
        runs.append(dataclasses.replace(curves, run=own_name))
    return with_runs(load_map(Path(folder) / MAP), runs)
