"""The cases of the forecast benchmark: runs, cuts, what really happened, and how to score it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from coopetition.curves.curve import Curves
from coopetition.curves.landmarks import distribution, landmarks, landmarks_of_paths
from coopetition.curves.smoothing import smooth_curve
from coopetition.curves.verdicts import verdict, verdict_probabilities
from coopetition.forecasting import Forecast
from coopetition.forecasting.observations import MIN_POINTS
from coopetition.forecasting.scores import brier, coverage, interval_score
from coopetition.forecasting.theories import Extrapolation
from coopetition.logs import published_runs, read_curves
from coopetition.seeds import stream
from coopetition.settings.covariates import COVARIATES, covariates, head_start, unusable

Array = NDArray[np.float64]

HORIZON = 2e7
LEVEL = 0.9
CUTS = (0.0, 0.1, 0.25, 0.3, 0.5)  # shares of the horizon; 0 = settings alone
AFTER_PEAK = 1e6  # sequences after the flip peak, a further cut
TIMES = 100
LEFT_OUT = ("run", "settings")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """What happened by the horizon: verdict, crossover, peak, and the smoothed flip accuracy."""

    verdict: str
    crossover: float | None
    peak: float
    sequences: Array
    flip: Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """One forecast of one run from one cut, scored."""

    method: str
    run: str
    cut: str
    right: bool
    brier: float
    rmse: float
    coverage: float
    interval: float
    crossover_error: float | None  # relative; inf where none was predicted; None where none to come
    persistent: float
    transient: float
    never: float
    truth: str
    seconds: float


def usable_runs() -> dict[str, Curves]:
    """The published runs that a map can be calibrated on."""
    runs = {name: read_curves(f"published:{name}")[0] for name in published_runs()}
    return {
        name: curves
        for name, curves in runs.items()
        if unusable(curves.settings) is None and ("flip", "in_context_acc") in curves.curves
    }


def truth_of(curves: Curves) -> Truth:
    """What happened to a run by the horizon."""
    seen = curves.until(HORIZON * (1 + 1e-9))
    marks = landmarks(seen, replicates=20)
    smooth = smooth_curve(seen.curve("flip"))
    return Truth(
        verdict=verdict(curves, min(HORIZON, curves.curve("flip").sequences[-1])),
        crossover=None if marks.crossover is None else marks.crossover.value,
        peak=0.0 if marks.peak is None else marks.peak.value,
        sequences=smooth.sequences,
        flip=smooth.values,
    )


def cuts_of(curves: Curves, truth: Truth) -> dict[str, float]:
    """Sequences of log for each cut, by its label; for a head start, shares of what is left."""
    origin = head_start(curves.settings)
    found = {f"{share:.0%}": origin + share * (HORIZON - origin) for share in CUTS if share}
    found["0%"] = 0.0
    later = max(found["30%"], truth.peak + AFTER_PEAK)
    if truth.crossover is not None and later < truth.crossover:
        found["after peak"] = later
    return dict(sorted(found.items(), key=lambda item: item[1]))


def score_forecast(
    method: str, cut: str, forecast: Forecast, curves: Curves, truth: Truth
) -> Score:
    """Score a forecast of the package."""
    band, crossover = forecast.bands["flip"], forecast.landmarks["crossover"].median
    grid = _grid(head_start(curves.settings))
    edges = (np.interp(grid, forecast.sequences, y) for y in (band.median, band.lower, band.upper))
    return _score(
        method, forecast.run, cut, forecast.until, grid, tuple(edges), crossover,
        dict(forecast.verdict_probability), truth, forecast.provenance["seconds"],
    )  # fmt: skip


def score_extrapolation(
    method: Extrapolation, cut: str, until: float, curves: Curves, truth: Truth, seconds: float
) -> Score | None:
    """Score the extrapolation of the flip curve alone; None where there is too little of it."""
    origin = head_start(curves.settings)
    flip = curves.curve("flip").until(until)
    flip = flip.take(flip.sequences >= origin)
    if len(flip) < 2 * MIN_POINTS:
        return None
    grid = _grid(origin)
    grid = grid[grid > until * (1 + 1e-9)]
    rng = stream(0, f"{method.name}/{curves.run}/{cut}")
    paths = method.paths(flip.sequences, flip.values, grid, rng, draws=1000)
    smooth = smooth_curve(flip)
    behind = np.broadcast_to(smooth.values, (len(paths), len(flip)))
    whole = np.concatenate([behind, paths], axis=1)
    marks = landmarks_of_paths(np.concatenate([flip.sequences, grid]), whole)
    median, lower, upper = np.quantile(paths, [0.5, 0.05, 0.95], axis=0)
    return _score(
        method.name, curves.run, cut, until, grid, (median, lower, upper),
        distribution(marks["crossover"], LEVEL).median, dict(verdict_probabilities(whole)), truth,
        seconds,
    )  # fmt: skip


def others_of(name: str, runs: dict[str, Curves], left_out: str) -> list[str]:
    """Whose logs a run is forecast from: all others', or (``settings``) those of other settings."""
    own = covariates(runs[name].settings)
    if left_out == "run":
        return [other for other in runs if other != name]
    return [other for other, curves in runs.items() if covariates(curves.settings) != own]


def nearest_outcome(
    name: str, others: list[str], runs: dict[str, Curves], truths: dict[str, Truth]
) -> str:
    """The verdict of the run whose settings are nearest; the most frequent one among equals."""
    own = _place(runs[name])
    gaps = {other: float(np.linalg.norm(_place(runs[other]) - own)) for other in others}
    least = min(gaps.values())
    outcomes = [truths[other].verdict for other, gap in gaps.items() if gap <= least + 1e-9]
    return max(sorted(set(outcomes)), key=outcomes.count)


def frequencies(others: list[str], truths: dict[str, Truth]) -> dict[str, float]:
    """Share of each verdict among the other runs."""
    outcomes = [truths[other].verdict for other in others]
    return {v: outcomes.count(v) / len(outcomes) for v in ("persistent", "transient", "never")}


def score_verdict(method: str, run: str, chances: dict[str, float], truth: Truth) -> Score:
    """Score a forecast of the verdict only."""
    nothing = float("nan")
    return Score(
        method=method,
        run=run,
        cut="0%",
        right=max(chances, key=chances.__getitem__) == truth.verdict,
        brier=brier(chances, truth.verdict),
        rmse=nothing,
        coverage=nothing,
        interval=nothing,
        crossover_error=None,
        truth=truth.verdict,
        seconds=0.0,
        **chances,
    )


def _grid(origin: float) -> Array:
    """Equal steps from the start to the horizon, at which all are scored."""
    return np.linspace(origin, HORIZON, TIMES + 1)[1:]


def _place(curves: Curves) -> Array:
    values = covariates(curves.settings)
    return np.array([c.reach * (values[c.name] or 0.0) for c in COVARIATES])


def _score(
    method: str,
    run: str,
    cut: str,
    until: float,
    grid: Array,
    band: tuple[Array, ...],
    crossover: float | None,
    chances: dict[str, float],
    truth: Truth,
    seconds: float,
) -> Score:
    inside = (grid > until * (1 + 1e-9)) & (grid <= truth.sequences[-1])
    median, lower, upper = (part[inside] for part in band)
    flip = np.interp(grid[inside], truth.sequences, truth.flip)
    error = None
    if truth.crossover is not None and truth.crossover > until:
        missed = crossover is None
        error = float("inf") if missed else abs(crossover - truth.crossover) / truth.crossover
    return Score(
        method=method,
        run=run,
        cut=cut,
        right=max(chances, key=chances.__getitem__) == truth.verdict,
        brier=brier(chances, truth.verdict),
        rmse=float(np.sqrt(np.mean((median - flip) ** 2))),
        coverage=coverage(lower, upper, flip),
        interval=interval_score(lower, upper, flip, LEVEL),
        crossover_error=error,
        truth=truth.verdict,
        seconds=seconds,
        **chances,
    )
