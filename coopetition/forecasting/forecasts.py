"""Forecast a run, from the part of its log seen so far or from its settings alone."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import Curves, one_run, read_only
from ..curves.landmarks import distribution, landmarks_of_paths
from ..curves.smoothing import smooth_curve
from ..curves.verdicts import verdict_probabilities
from ..fitting.multistart import one_blas_thread
from ..fitting.smc import FIRST, Population, sequential_monte_carlo, systematic_resample
from ..seeds import stream
from ..settings.names import short_names
from ..version import __version__
from .observations import Observations, observations
from .paths import complete, path_times, predictive_paths
from .prior import ParameterPrior
from .result import Band, Forecast
from .reweighting import corrected_verdicts, require_enough
from .theories.theory import Theory

if TYPE_CHECKING:  # settings_map imports this folder
    from ..settings.training import TrainingSettings
    from .settings_map import SettingsMap

Array = NDArray[np.float64]

BLOCK = 2.5e5  # sequences, at the base time scale, that a log is averaged over
POINTS = (12, 40)  # fewest and most blocks of a log
SURE = 0.8  # probability from which a verdict can be relied on
STRANGE = 0.05  # probability of a log at least so unusual, below which a warning is given
BEYOND = 2.0  # factor past the map's longest run from which a horizon is far
MARKED = ("flip", "icl")  # evaluators that have landmarks


def forecast(
    curves: Curves,
    settings_map: SettingsMap,
    *,
    horizon: float,
    until: float | None = None,
    settings: Mapping[str, Any] | TrainingSettings | None = None,
    level: float = 0.9,
    draws: int = 2000,
    moves: int = 4,
    seed: int = 0,
) -> Forecast:
    """Forecast a run.

    Parameters
    ----------
    curves
        The log. Its settings choose the prior; nothing after ``until`` is used.
    settings_map
        The map to predict from. The run itself is left out of it, or the forecast would have seen
        the future; others of the same log stay.
    horizon
        Training sequences up to which to forecast.
    until
        Sequences of the log to use, at most all it has: all when None, none (settings alone)
        when 0.
    settings
        The run's settings, where the log does not hold them: by short names, or our trainer's.
    level
        Probability that a value lies in its interval or band.
    draws
        Size of the population of parameter sets.
    moves
        Metropolis moves per step of the sampler; more mix the draws better.
    seed
        Of all randomness.

    Returns
    -------
    Forecast

    Raises
    ------
    LogError
        If the log holds nothing usable before ``until``.
    CoopetitionError
        If most simulations failed.
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from coopetition.forecasting.settings_map import default_map
    >>> from coopetition.logs import read_curves
    >>> (main,) = read_curves("published:main")
    >>> forecast(main, default_map(), until=5e6, horizon=2e7, draws=200).verdict
    'transient'
    """
    began = time.perf_counter()
    curves = one_run(curves)
    require_map(settings_map)
    members = settings_map.names_of(curves)
    settings_map = settings_map.without(*members)
    settings = short_names(curves.settings if settings is None else settings)
    prior = settings_map.predict(settings)
    _check(0.0 if until is None else until, horizon, level, draws, prior.origin)
    cut = min(curves.last_sequence, horizon if until is None else float(until))
    log: Observations | None = None
    if cut > prior.origin:
        log = observations(
            curves.until(cut),
            settings_map.discrepancy,
            until=cut,
            origin=prior.origin,
            time_scale=prior.time_scale,
            points=int(np.clip((cut - prior.origin) / (BLOCK * prior.time_scale), *POINTS)),
        )
    notes = [f"the map was calibrated on this run: {name} left out" for name in members]
    if until is None and curves.last_sequence > horizon * (1 + 1e-9):
        notes.append(
            f"the log goes on to {curves.last_sequence:,.0f} sequences and has shown the horizon, "
            f"{horizon:,.0f}; choose a later one, or use less of the log (until)"
        )
    return _forecast(
        settings_map, settings, prior, log, run=curves.run, horizon=horizon, level=level,
        draws=draws, moves=moves, seed=seed, source=curves.source, began=began,
        notes=tuple(notes),
    )  # fmt: skip


def forecast_settings(
    settings: Mapping[str, Any] | TrainingSettings,
    settings_map: SettingsMap,
    *,
    horizon: float,
    run: str = "settings",
    level: float = 0.9,
    draws: int = 2000,
    seed: int = 0,
) -> Forecast:
    """Forecast a run that has not begun, from its settings; arguments as in `forecast`.

    Equal seeds use equal random numbers, so that forecasts of two settings can be compared.
    """
    began = time.perf_counter()
    require_map(settings_map)
    settings = short_names(settings)
    prior = settings_map.predict(settings)
    _check(0.0, horizon, level, draws, prior.origin)
    return _forecast(
        settings_map, settings, prior, None, run=run, horizon=horizon, level=level, draws=draws,
        moves=0, seed=seed, source={"settings": dict(settings)}, began=began,
    )  # fmt: skip


def posterior(
    theory: Theory,
    prior: ParameterPrior,
    log: Observations,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    moves: int = 4,
) -> Population:
    """Draws from p(θ) p(log | θ)^(likelihood power), by sequential Monte Carlo from the prior."""

    def log_likelihood(thetas: Array) -> Array:
        return log.discrepancy.likelihood_power * log.log_likelihood(
            theory.curves(thetas, log.times)
        )

    first = prior.sample(FIRST * draws, rng)
    return sequential_monte_carlo(
        first, prior.log_density, log_likelihood, rng, draws=draws, moves=moves
    )


def require_map(settings_map: object) -> None:
    """Refuse a map's path in place of a map, with a `ValueError`."""
    if isinstance(settings_map, str | os.PathLike):
        path = str(settings_map)
        raise ValueError(f"settings_map = {path!r}: read the map first, load_map({path!r})")


def _check(until: float, horizon: float, level: float, draws: int, origin: float) -> None:
    """Refuse numbers out of range."""
    if not (math.isfinite(horizon) and horizon > origin):
        raise ValueError(f"horizon = {horizon!r}: must be a number of sequences above {origin:g}")
    if not 0 <= until <= horizon:
        raise ValueError(
            f"until = {until:g}: must lie between 0 and the horizon, {horizon:g}; there is nothing "
            "to forecast before the log ends"
        )
    if not 0 < level < 1:
        raise ValueError(f"level = {level!r}: must lie between 0 and 1, such as 0.9")
    if draws < 100:
        raise ValueError(f"draws = {draws!r}: quantiles need at least 100")


def _forecast(
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
    with one_blas_thread():
        if log is None:
            thetas = prior.sample(draws, rng)
            simulations: int | None = None
        else:
            population = posterior(theory, prior, log, rng, draws=draws, moves=moves)
            thetas, simulations = population.thetas, population.evaluations
        grid = path_times(prior, horizon)
        paths = predictive_paths(
            theory, thetas, grid, settings_map.discrepancy, rng,
            observations=log, time_scale=prior.time_scale,
        )  # fmt: skip
        members = np.flatnonzero(complete(paths))
        require_enough(len(members) / draws, f"of run {run}", horizon)
        sequences = grid + prior.origin
        flip = _joined(sequences, {name: y[members] for name, y in paths.items()}, log)[1]["flip"]
        chances, weights = corrected_verdicts(
            settings_map, settings, prior, flip, horizon, follows_log=log is not None, seed=seed
        )
        members = members[systematic_resample(weights, len(weights))]
        thetas, paths = thetas[members], {name: y[members] for name, y in paths.items()}
        levels = [0.5, (1 - level) / 2, (1 + level) / 2]
        times, joined = _joined(sequences, paths, log)
        marks = landmarks_of_paths(times, joined["flip"], joined["icl"])
        quantiles = np.exp(np.quantile(thetas, levels, axis=0))
        typicality = prior.farther(float(np.median(prior.distance(thetas)))) if log else 1.0
    bands = {name: np.quantile(y, levels, axis=0) for name, y in paths.items()}
    return Forecast(
        run=run,
        until=0.0 if log is None else log.until,
        horizon=float(horizon),
        level=level,
        sequences=read_only(sequences),
        bands={
            name: Band(median=read_only(mid), lower=read_only(low), upper=read_only(high))
            for name, (mid, low, high) in bands.items()
        },
        landmarks={name: distribution(values, level) for name, values in marks.items()},
        verdict_probability=chances,
        theory_probability=verdict_probabilities(flip),
        parameters={
            name: (float(mid), float(low), float(high))
            for name, mid, low, high in zip(prior.names, *quantiles, strict=True)
        },
        telling=max(chances.values()) >= SURE,
        warnings=(
            *notes,
            *prior.notes,
            *(log.notes if log is not None else ()),
            *_warnings(settings_map, prior, log, chances, typicality, horizon),
        ),
        thetas=read_only(thetas),
        provenance={
            "version": __version__,
            "source": dict(source),
            "map": {**settings_map.provenance, "runs": [r.run for r in settings_map.runs]},
            "seed": seed,
            "simulations": len(thetas) if simulations is None else simulations,
            "seconds": round(time.perf_counter() - began, 3),
        },
    )


def _joined(
    sequences: Array, paths: Mapping[str, Array], log: Observations | None
) -> tuple[Array, Mapping[str, Array]]:
    """Flip and icl from the beginning: the smoothed log to its last point, then the paths.

    Sequences ``(times,)``, and accuracies by evaluator ``(draws, times)``.
    """
    smooth = {
        name: smooth_curve(record.curve)
        for name in MARKED
        if log is not None and (record := log.record(name)) is not None
    }
    if not smooth:
        return sequences, {name: paths[name] for name in MARKED}
    behind = np.unique(np.concatenate([curve.sequences for curve in smooth.values()]))
    shortest = min(curve.sequences[-1] for curve in smooth.values())
    times = np.union1d(behind, sequences[sequences > shortest * (1 + 1e-9)])
    joined = {}
    for name in MARKED:
        curve = smooth.get(name)
        measured = times <= curve.sequences[-1] if curve is not None else np.zeros(len(times), bool)
        joined[name] = np.empty((len(paths[name]), len(times)))
        joined[name][:, ~measured] = _between(sequences, paths[name], times[~measured])
        if curve is not None:
            joined[name][:, measured] = np.interp(times[measured], curve.sequences, curve.values)
    return times, joined


def _between(sequences: Array, paths: Array, wanted: Array) -> Array:
    """Paths ``(draws, times)`` interpolated linearly at the wanted sequences."""
    after = np.clip(np.searchsorted(sequences, wanted), 1, len(sequences) - 1)
    start, end = sequences[after - 1], sequences[after]
    share = np.clip((wanted - start) / (end - start), 0.0, 1.0)
    return np.asarray(paths[:, after - 1] * (1 - share) + paths[:, after] * share)


def _warnings(
    settings_map: SettingsMap,
    prior: ParameterPrior,
    log: Observations | None,
    chances: Mapping[str, float],
    typicality: float,
    horizon: float,
) -> list[str]:
    """Warnings of an open verdict, an unusual log and a far horizon."""
    warnings = []
    best = max(chances, key=lambda name: chances[name])
    if chances[best] < SURE:
        basis = "settings alone do not"
        if log is not None:
            basis = f"{log.until:,.0f} sequences of log do not yet"
        warnings.append(
            f"{basis} tell what becomes of ICL: {best} is only {100 * chances[best]:.0f} % probable"
        )
    if typicality < STRANGE:
        warnings.append(
            "the log is unlike those the map was calibrated on: at most "
            f"{100 * typicality:.1g} % of runs with its settings lie as far from its prediction; "
            "check its sequences and settings, and trust the bands less"
        )
    longest = prior.time_scale * settings_map.longest
    if settings_map.runs and horizon > BEYOND * longest:  # a map without runs says so itself
        warnings.append(
            f"at this learning rate and batch size the map's runs reach {longest:,.0f} sequences; "
            f"what is said of {horizon:,.0f} is the theory's extrapolation"
        )
    return warnings
