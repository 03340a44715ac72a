"""The verb `verify`: proposals are trained, and what was predicted is compared with what came.

Everything measured goes to ``verdicts.json`` beside the predictions, after each run, so that an
interrupted verification continues; the predictions themselves are only read, and refused if they
were changed after the first verdict.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .curves import Curves
from .errors import CoopetitionError
from .files import provenance, sha256_of, write_atomically
from .forecasting.scores import brier, coverage
from .knobs import KnobMap, load_map
from .landmarks import landmarks, verdict
from .logs import read_curves
from .proposal.knowledge import with_runs
from .proposal.storage import MAP, PREDICTIONS, Prediction, read_predictions
from .readout import ACCURACY

if TYPE_CHECKING:
    from .train.settings import TrainingSettings

RUNS, VERDICTS = "runs", "verdicts.json"
FORMAT = "coopetition verdicts 1"
NEAR = 0.999  # share of the budget that a finished run has reached


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """One prediction and what came of it.

    Parameters
    ----------
    prediction
        Made before.
    measured
        ``persistent, transient`` or ``never``, at the budget.
    peak_flip, final_flip
        Of the measured run.
    brier
        Of the probabilities of the verdicts, 0 to 2.
    coverage
        Share of the measured accuracies within their bands.
    rmse
        Of each evaluator's predicted median.
    run
        The run's folder.
    """

    prediction: Prediction
    measured: str
    peak_flip: float
    final_flip: float
    brier: float
    coverage: float
    rmse: Mapping[str, float]
    run: Path

    @property
    def came_true(self) -> bool:
        """Whether the most probable verdict is the one measured."""
        return self.measured == self.prediction.verdict

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.prediction.name,
            "settings": str(self.prediction.settings),
            "predicted": self.prediction.verdict,
            "verdict_probability": dict(self.prediction.verdict_probability),
            "measured": self.measured,
            "came_true": self.came_true,
            "peak_flip": self.peak_flip,
            "final_flip": self.final_flip,
            "brier": self.brier,
            "coverage": self.coverage,
            "rmse": dict(self.rmse),
            "run": str(self.run),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
    """All verified predictions of a folder.

    Parameters
    ----------
    results
        One for each proposal that was trained.
    """

    results: tuple[Verified, ...]

    @property
    def score(self) -> dict[str, Any]:
        """Hits, total, and means of the Brier score and the coverage; null where there is none."""
        total = len(self.results)
        return {
            "hits": sum(one.came_true for one in self.results),
            "total": total,
            "brier": float(np.mean([r.brier for r in self.results])) if total else None,
            "coverage": float(np.mean([r.coverage for r in self.results])) if total else None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"results": [one.as_dict() for one in self.results], "score": self.score}

    def summary(self) -> str:
        """A line for each result, and the score."""
        lines = [
            f"{one.prediction.name}: predicted {one.prediction.verdict} "
            f"({one.prediction.verdict_probability[one.prediction.verdict]:.2f}), measured "
            f"{one.measured} (peak flip {one.peak_flip:.2f}, final {one.final_flip:.2f}): "
            f"{'came true' if one.came_true else 'missed'}"
            for one in self.results
        ]
        score = self.score
        if score["total"]:
            lines.append(
                f"{score['hits']} of {score['total']} came true, Brier score {score['brier']:.3f}, "
                f"{100 * score['coverage']:.0f} % of the measured points within their bands"
            )
        return "\n".join(lines or ["nothing was verified"])


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
        Whether to train at all; if not, proposals without a finished run are left out.
    progress
        Whether to show progress on stderr.
    trainer
        What trains settings into a folder; our trainer when None.

    Returns
    -------
    Verification

    Raises
    ------
    CoopetitionError
        If the predictions cannot be read or were changed since the first verdict; if training is
        interrupted or fails (what is finished is kept).
    """
    folder = Path(folder)
    predictions = read_predictions(folder)
    digest = sha256_of(folder / PREDICTIONS)
    require_unchanged(folder, digest)
    results: list[Verified] = []
    for prediction in predictions:
        run = folder / RUNS / prediction.name
        curves = finished(run, prediction.budget)
        if curves is None and not train_missing:
            continue
        if curves is None:
            _train(prediction, run, device, progress, trainer)
            curves = finished(run, prediction.budget)
        if curves is None:
            raise CoopetitionError(
                f"{run} ends before the budget of {prediction.budget:,.0f} sequences; raise "
                f"run.sequences in {prediction.settings}"
            )
        results.append(compared(prediction, curves, run))
        _write(folder, digest, Verification(results=tuple(results)))
    return Verification(results=tuple(results))


def require_unchanged(folder: Path, digest: str) -> None:
    """Refuse predictions other than those of the verdicts already there."""
    path = folder / VERDICTS
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["predictions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CoopetitionError(f"{path} is damaged ({error}); move it away") from error
    if before != digest:
        raise CoopetitionError(
            f"{folder / PREDICTIONS} was changed after it was first verified: predictions made "
            "before a run are not rewritten; restore it"
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


def compared(prediction: Prediction, curves: Curves, run: Path) -> Verified:
    """A prediction beside the curves that were measured.

    Raises
    ------
    CoopetitionError
        If the run has no flip accuracy.
    """
    if curves.accuracy("flip") is None:
        raise CoopetitionError(f"{run} has no flip accuracy: evaluate flip to verify a verdict")
    horizon = min(prediction.budget, curves.last_sequence)
    measured = verdict(curves, horizon)
    table = prediction.table()
    inside, rmse = [], {}
    for evaluator, rows in table.groupby("evaluator"):
        curve = curves.curves.get((str(evaluator), ACCURACY))
        if curve is None:
            continue
        curve = curve.take((curve.sequences > 0) & (curve.sequences <= horizon))
        middle, lower, upper = (
            np.interp(curve.sequences, rows["sequences"], rows[name])
            for name in ("value", "lower", "upper")
        )
        inside.append(coverage(lower, upper, curve.values))
        rmse[str(evaluator)] = float(np.sqrt(np.mean((curve.values - middle) ** 2)))
    marks = landmarks(curves.until(horizon))
    flip = curves.curve("flip")
    return Verified(
        prediction=prediction,
        measured=measured,
        peak_flip=float("nan") if marks.peak_flip is None else marks.peak_flip.value,
        final_flip=float(np.interp(horizon, flip.sequences, flip.values)),
        brier=brier(prediction.verdict_probability, measured),
        coverage=float(np.mean(inside)) if inside else float("nan"),
        rmse=rmse,
        run=run,
    )


def updated_map(folder: str | os.PathLike[str], verification: Verification) -> KnobMap:
    """The map that predicted, with what the verified runs say; the old one stays as it is."""
    knob_map = load_map(Path(folder) / MAP)
    runs = []
    for one in verification.results:
        (curves,) = read_curves(one.run)
        # proposals of every folder have the same names
        own = f"{Path(folder).resolve().name}/{curves.run}"
        runs.append(dataclasses.replace(curves, run=own))
    return with_runs(knob_map, runs)


def _train(
    prediction: Prediction, run: Path, device: str, progress: bool, trainer: Trainer | None
) -> None:
    from .train.settings_files import read_settings

    settings = read_settings(prediction.settings)
    if trainer is not None:
        trainer(settings, run)
        return
    from .train.loop import train

    train(settings, run, resume=True, device=device, progress=progress)


def _write(folder: Path, digest: str, verification: Verification) -> None:
    content = {
        "format": FORMAT,
        **provenance("verify", {}, inputs=[folder / PREDICTIONS]),
        "predictions": digest,
        **verification.as_dict(),
    }
    write_atomically(folder / VERDICTS, json.dumps(content, indent=1))
