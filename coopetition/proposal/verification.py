"""The verb `verify`: train proposals, and compare predictions with measurements.

After each run the results go to ``verdicts.json`` beside the predictions, so that an interrupted
verification continues. Predictions are only read, and refused if they were changed after the first
verdict.
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

NEAR = 0.999  # share of the budget that a run must reach to be finished

Trainer = Callable[[TrainingSettings, Path], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """A prediction compared with the run that was trained."""

    prediction: StoredPrediction
    measured: str  # the verdict on the run at the budget
    peak_flip: float
    final_flip: float
    brier: float  # score of the verdict probabilities, 0 to 2
    coverage: float  # share of the measured accuracies within their bands
    rmse: Mapping[str, float]  # of the predicted median, by evaluator
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
    """The verification of a folder of proposals."""

    results: tuple[Verified, ...]  # of each proposal that was trained to the budget
    unfinished: tuple[str, ...] = ()  # names of the others
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)  # why, by name

    @property
    def score(self) -> dict[str, Any]:
        """Hits, total, and mean Brier score and coverage, None without results."""
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
        remaining = ", ".join(name for name in self.unfinished if name not in self.failed)
        if remaining:
            lines.append(f"not finished: {remaining}; train them with coopetition verify")
        return "\n".join(lines)

    def require(self) -> Verification:
        """Itself; a `TrainingError` names the proposals whose training failed, and why."""
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
    """Train the proposals in a folder that are not trained yet, and score all predictions.

    Parameters
    ----------
    folder
        Written by `coopetition propose -o`. Runs are in ``runs/NAME``: finished ones are read,
        interrupted ones continued.
    device
        Where to train.
    train_missing
        Whether to train; if not, proposals without a finished run are listed as unfinished.
    progress
        Whether to show progress on stderr.
    trainer
        Trains settings into a folder and leaves ``curves.csv`` and ``settings.yaml`` there; the
        package's own trainer when None.

    Returns
    -------
    Verification
        With the reason why a proposal's training failed, which does not stop the others.

    Raises
    ------
    CoopetitionError
        If the predictions cannot be read or were changed after the first verdict; if a run was
        trained with other settings than its prediction's; if training is interrupted (finished
        runs are kept); if another process verifies the folder.
    """
    from ..train.folder.ownership import owned

    def train_ours(settings: TrainingSettings, run: Path) -> None:
        from ..train.loop import train

        train(settings, run, resume=True, device=device, progress=progress)

    folder = Path(folder).expanduser()
    with owned(folder, required=False):
        return _verify(folder, (trainer or train_ours) if train_missing else None)


def _verify(folder: Path, trainer: Trainer | None) -> Verification:
    """Score finished runs, and with a trainer those that it trains."""
    predictions = read_predictions(folder)
    checksum = sha256_of(folder / PREDICTIONS)
    read_verdicts(folder)  # refuses predictions changed since the verdicts
    results: dict[str, Verified] = {}
    failed: dict[str, str] = {}

    def verification() -> Verification:
        names = [prediction.name for prediction in predictions]
        return Verification(
            results=tuple(results[name] for name in names if name in results),
            unfinished=tuple(name for name in names if name not in results),
            failed=dict(failed),
        )

    pairs = [(prediction, folder / RUNS / prediction.name) for prediction in predictions]
    for pair in pairs:
        require_as_predicted(*pair)
    # finished runs first: a failure in training must not lose verdicts written before
    for prediction, run in pairs:
        curves = finished_curves(run, prediction.budget)
        if curves is not None:
            results[prediction.name] = compare(prediction, curves, run)
    if results:
        write_verdicts(folder, checksum, verification().as_dict())
    for prediction, run in pairs:
        if prediction.name in results or trainer is None:
            continue
        try:
            curves = _train(prediction, run, trainer)
            results[prediction.name] = compare(prediction, curves, run)
        except Interrupted:
            raise
        except CoopetitionError as error:  # of this run; the others go on
            failed[prediction.name] = str(error)
        write_verdicts(folder, checksum, verification().as_dict())
    return verification()


def _train(prediction: StoredPrediction, run: Path, trainer: Trainer) -> Curves:
    """Train a proposal to its budget; returns its curves."""
    try:
        trainer(read_settings(prediction.settings), run)
    except Interrupted as error:  # its message names an option of `coopetition train`
        raise Interrupted(
            f"interrupted while {prediction.name} was trained; run verify again to continue it"
        ) from error
    require_as_predicted(prediction, run)
    curves = finished_curves(run, prediction.budget)
    if curves is None:
        raise CoopetitionError(
            f"{run} ends before the budget of {prediction.budget:,.0f} sequences; raise "
            f"run.sequences in {prediction.settings}"
        )
    return curves


def require_as_predicted(prediction: StoredPrediction, run: Path) -> None:
    """Refuse a run whose settings are not those of the prediction."""
    settings = run / "settings.yaml"
    remedy = f"move {run} away to train the proposal anew"
    if not settings.exists():
        if finished_curves(run, prediction.budget) is not None:
            raise CoopetitionError(f"{run} does not say what it was trained with: {remedy}")
        return
    try:
        section = another_run(read_settings(settings), read_settings(prediction.settings))
    except ValueError as error:
        raise CoopetitionError(f"{error}; {remedy}") from error
    if section is not None:
        raise CoopetitionError(
            f"{run} was trained with other {section} settings than the prediction's, in "
            f"{prediction.settings}: {remedy}"
        )


def finished_curves(run: Path, budget: float) -> Curves | None:
    """The curves of a run that reached the budget, else None."""
    if not (run / "curves.csv").is_file():
        return None
    try:
        curves = next(iter(read_curves(run)))
    except CoopetitionError:  # of a run interrupted before its first evaluation
        return None
    return curves if curves.last_sequence >= NEAR * budget else None


def compare(prediction: StoredPrediction, curves: Curves, run: Path) -> Verified:
    """Compare a prediction with measured curves, which must include flip accuracy."""
    flip = curves.accuracy("flip")
    if flip is None:
        raise CoopetitionError(f"{run} has no flip accuracy: evaluate flip to verify a verdict")
    horizon = min(prediction.budget, curves.last_sequence)
    measured = verdict(curves, horizon)
    coverages, rmse = [], {}
    for evaluator, rows in prediction.table().groupby("evaluator"):
        curve = curves.accuracy(str(evaluator))
        if curve is None:
            continue
        curve = curve.take((curve.sequences > 0) & (curve.sequences <= horizon))
        x = curve.sequences
        median, lower, upper = (
            np.interp(x, rows["sequences"], rows[name]) for name in ("value", "lower", "upper")
        )
        coverages.append(coverage(lower, upper, curve.values))
        rmse[str(evaluator)] = float(np.sqrt(np.mean((curve.values - median) ** 2)))
    peak = landmarks(curves.until(horizon)).peak_flip
    return Verified(
        prediction=prediction,
        measured=measured,
        peak_flip=float("nan") if peak is None else peak.value,
        final_flip=float(np.interp(horizon, flip.sequences, flip.values)),
        brier=brier(prediction.verdict_probability, measured),
        coverage=float(np.mean(coverages)) if coverages else float("nan"),
        rmse=rmse,
        run=run,
    )


def updated_map(folder: str | os.PathLike[str], verification: Verification) -> SettingsMap:
    """The map that made the predictions, with the verified runs added; its file stays as it is."""
    runs = []
    for one in verification.results:
        (curves,) = read_curves(one.run)
        # proposals of every folder have the same names
        own_name = f"{Path(folder).resolve().name}/{curves.run}"
        runs.append(dataclasses.replace(curves, run=own_name))
    return with_runs(load_map(Path(folder) / MAP), runs)
