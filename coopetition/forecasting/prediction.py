"""From a prior and a log, if there is one, to what is to be expected: futures and their summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import read_only
from ..curves.landmarks import VERDICTS
from ..curves.outcomes import (
    distribution,
    landmarks_of_paths,
    verdict_probabilities,
    verdicts_of_paths,
)
from ..curves.smoothing import smooth_curve
from ..errors import CoopetitionError
from ..fitting.smc import Population
from ..seeds import stream
from ..version import __version__
from .flips import flips_of, path_times
from .observations import Observations
from .paths import paths
from .prior import ParameterPrior
from .result import Band, Forecast
from .reweighting import resampled, weights_of
from .smc import posterior

if TYPE_CHECKING:  # knobs stands below: it is calibrated with the theories of this package
    from .settings_map import SettingsMap

Array = NDArray[np.float64]

FORESEEN = 1000  # futures from settings alone, beside those that follow a log
SURE = 0.8  # probability of a verdict from which the log is said to tell
STRANGE = 0.05  # share of the runs the map expects that are as unlike, below which it is said
LEAST_SHARE = 0.5  # of the draws whose paths must be numbers
BEYOND = 2.0  # factor past the map's longest run from which a horizon is called far
MARKED = ("flip", "icl")  # evaluators that have landmarks


def foretell(
    settings_map: SettingsMap,
    settings: Mapping[str, Any],
    prior: ParameterPrior,
    log: Observations | None,
    *,
    run: str,
    horizon: float,
    level: float,
    draws: int,
    moves: int,
    seed: int,
    source: Mapping[str, Any],
    began: float,
    notes: tuple[str, ...] = (),
) -> Forecast:
    """The forecast of a prior and a log, if there is one; arguments as in `forecast`."""
    theory, rng = settings_map.the_theory(), stream(seed, "forecast")
    population: Population | None = None
    if log is None:
        thetas = prior.sample(draws, rng)
    else:
        population = posterior(theory, prior, log, rng, draws=draws, moves=moves)
        thetas = population.thetas
    grid = path_times(prior, horizon)
    futures = dict(
        paths(
            theory,
            thetas,
            grid,
            settings_map.discrepancy,
            rng,
            observations=log,
            time_scale=prior.time_scale,
        )
    )
    whole = np.all([np.all(np.isfinite(y), axis=1) for y in futures.values()], axis=0)
    if np.mean(whole) < LEAST_SHARE:
        raise CoopetitionError(
            f"{100 * (1 - np.mean(whole)):.0f} % of the simulations of run {run} failed before "
            f"{horizon:,.0f} sequences; check its settings (learning rate, batch size) or shorten "
            "the horizon"
        )
    sequences = grid + prior.origin
    possible = {evaluator: y[whole] for evaluator, y in futures.items()}
    theory_flip = _joined(sequences, possible, log)[1]["flip"]
    chances, weights = _put_right(
        settings_map, settings, prior, theory_flip, horizon, seen=log is not None, seed=seed
    )
    kept = np.flatnonzero(whole)[resampled(weights)]
    futures = {evaluator: y[kept] for evaluator, y in futures.items()}
    thetas = thetas[kept]
    reach = [0.5, (1 - level) / 2, (1 + level) / 2]
    bands = {}
    for evaluator, y in futures.items():
        median, lower, upper = np.quantile(y, reach, axis=0)
        bands[evaluator] = Band(
            median=read_only(median), lower=read_only(lower), upper=read_only(upper)
        )
    times, joined = _joined(sequences, futures, log)
    marks = landmarks_of_paths(times, joined["flip"], joined["icl"])
    quantiles = np.exp(np.quantile(thetas, reach, axis=0))
    alike = prior.farther(float(np.median(prior.distance(thetas)))) if log is not None else 1.0
    return Forecast(
        run=run,
        until=0.0 if log is None else log.until,
        horizon=float(horizon),
        level=level,
        sequences=read_only(sequences),
        bands=bands,
        landmarks={name: distribution(values, level) for name, values in marks.items()},
        verdict_probability=chances,
        theory_probability=verdict_probabilities(theory_flip),
        parameters={
            name: (float(mid), float(low), float(high))
            for name, mid, low, high in zip(prior.names, *quantiles, strict=True)
        },
        telling=max(chances.values()) >= SURE,
        warnings=(
            *notes,
            *prior.notes,
            *(log.notes if log is not None else ()),
            *_warnings(chances, log, alike),
            *_too_far(settings_map, prior, horizon),
        ),
        thetas=read_only(thetas),
        provenance={
            "version": __version__,
            "source": dict(source),
            "map": {**settings_map.provenance, "runs": [r.run for r in settings_map.runs]},
            "seed": seed,
            "simulations": len(thetas) if population is None else population.evaluations,
            "seconds": round(time.perf_counter() - began, 3),
        },
    )


def _put_right(
    settings_map: SettingsMap,
    settings: Mapping[str, Any],
    prior: ParameterPrior,
    flip: Array,
    horizon: float,
    *,
    seen: bool,
    seed: int,
) -> tuple[Mapping[str, float], Array]:
    """Verdict probabilities corrected by what became of the map's runs, and the futures' weights.

    The correction is of what settings alone say; with a log seen the futures are other ones, whose
    verdicts it moves by the same ratios (`coopetition.forecasting.reweighting`).
    """
    if settings_map.odds is None:
        return verdict_probabilities(flip), np.full(len(flip), 1.0 / len(flip))
    before = _foreseen(settings_map, prior, horizon, seed) if seen else verdict_probabilities(flip)
    after = settings_map.odds_at(settings, before, horizon=horizon)
    weights = weights_of(flip, before, after)
    if not seen:
        return after, weights
    found = verdicts_of_paths(flip)
    sums = [float(np.sum(weights[found == i])) for i in range(len(VERDICTS))]
    return {v: one / sum(sums) for v, one in zip(VERDICTS, sums, strict=True)}, weights


def _foreseen(
    settings_map: SettingsMap, prior: ParameterPrior, horizon: float, seed: int
) -> Mapping[str, float]:
    """The theory's verdict probabilities from settings alone, which a log has no part in."""
    theory, form = settings_map.the_theory(), settings_map.discrepancy
    flips = flips_of(theory, form, prior, horizon=horizon, draws=FORESEEN, seed=seed)
    if len(flips) < LEAST_SHARE * FORESEEN:
        raise CoopetitionError(
            f"{100 * (1 - len(flips) / FORESEEN):.0f} % of the simulations from the run's settings "
            f"alone failed before {horizon:,.0f} sequences; check its settings (learning rate, "
            "batch size) or shorten the horizon"
        )
    return verdict_probabilities(flips)


def _joined(
    sequences: Array, futures: Mapping[str, Array], log: Observations | None
) -> tuple[Array, Mapping[str, Array]]:
    """Flip and icl from the beginning: the log, smoothed as landmarks read it, then the futures.

    Each follows the log to its own last point there. Sequences, and accuracies by evaluator,
    ``(draws, times)``; the futures alone where the log has no such curve.
    """
    seen = {
        name: smooth_curve(record.curve)
        for name in MARKED
        if log is not None and (record := log.record(name)) is not None
    }
    if not seen:
        return sequences, {name: futures[name] for name in MARKED}
    behind = np.unique(np.concatenate([smooth.sequences for smooth in seen.values()]))
    shortest = min(smooth.sequences[-1] for smooth in seen.values())
    times = np.union1d(behind, sequences[sequences > shortest * (1 + 1e-9)])
    joined = {}
    for name in MARKED:
        told = times <= seen[name].sequences[-1] if name in seen else np.zeros(len(times), bool)
        joined[name] = np.empty((len(futures[name]), len(times)))
        joined[name][:, ~told] = _between(sequences, futures[name], times[~told])
        if name in seen:
            joined[name][:, told] = np.interp(times[told], seen[name].sequences, seen[name].values)
    return times, joined


def _between(sequences: Array, futures: Array, wanted: Array) -> Array:
    """Paths ``(draws, times)`` at wanted times, linearly between those they are given at."""
    after = np.clip(np.searchsorted(sequences, wanted), 1, len(sequences) - 1)
    start, end = sequences[after - 1], sequences[after]
    share = np.clip((wanted - start) / (end - start), 0.0, 1.0)
    return np.asarray(futures[:, after - 1] * (1 - share) + futures[:, after] * share)


def _too_far(settings_map: SettingsMap, prior: ParameterPrior, horizon: float) -> tuple[str, ...]:
    """What to know of a horizon that no run of the map comes near."""
    seen = prior.time_scale * settings_map.longest
    if not settings_map.runs or horizon <= BEYOND * seen:  # that there is none is said by the map
        return ()
    return (
        f"at this learning rate and batch size the map's runs reach {seen:,.0f} sequences; what is "
        f"said of {horizon:,.0f} is the theory's extrapolation",
    )


def _warnings(
    chances: Mapping[str, float], log: Observations | None, alike: float
) -> tuple[str, ...]:
    found = []
    best = max(chances, key=lambda name: chances[name])
    if chances[best] < SURE:
        basis = (
            "settings alone do not"
            if log is None
            else f"{log.until:,.0f} sequences of log do not yet"
        )
        found.append(
            f"{basis} tell what becomes of ICL: {best} is only {100 * chances[best]:.0f} % probable"
        )
    if alike < STRANGE:
        found.append(
            "the log is unlike those the map was calibrated on: of runs with its settings no more "
            f"than {100 * alike:.1g} % would be so far from what is expected; check its sequences "
            "and settings, and trust the bands less"
        )
    return tuple(found)
