"""What came of predictions: a measured run beside what was predicted of it, and all scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..curves.curve import Curves
from ..curves.landmarks import landmarks
from ..curves.verdicts import verdict
from ..errors import CoopetitionError, TrainingError
from ..forecasting.scores import brier, coverage
from .storage import StoredPrediction


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

    prediction: StoredPrediction
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
        return {
            "results": [one.as_dict() for one in self.results],
            "unfinished": list(self.unfinished),
            "failed": dict(self.failed),
            "score": self.score,
        }

    def summary(self) -> str:
        """A line for each result, the score, and what is not finished."""
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
        if not lines:
            lines.append("nothing was verified")
        lines += [f"{name}: failed" for name in self.failed]
        left = ", ".join(name for name in self.unfinished if name not in self.failed)
        if left:
            lines.append(f"not finished: {left}; train them with coopetition verify")
        return "\n".join(lines)

    def require(self) -> Verification:
        """Itself, unless training failed with a proposal.

        Raises
        ------
        TrainingError
            If it did: which, and why.
        """
        if self.failed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.failed.items())
            total = len(self.results) + len(self.unfinished)
            raise TrainingError(f"{len(self.failed)} of {total} proposals failed: {reasons}")
        return self


def compared(prediction: StoredPrediction, curves: Curves, run: Path) -> Verified:
    """A prediction beside the curves that were measured.

    Raises
    ------
    CoopetitionError
        If the run has no flip accuracy.
    """
    flip = curves.accuracy("flip")
    if flip is None:
        raise CoopetitionError(f"{run} has no flip accuracy: evaluate flip to verify a verdict")
    horizon = min(prediction.budget, curves.last_sequence)
    measured = verdict(curves, horizon)
    table = prediction.table()
    inside, rmse = [], {}
    for evaluator, rows in table.groupby("evaluator"):
        curve = curves.accuracy(str(evaluator))
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
