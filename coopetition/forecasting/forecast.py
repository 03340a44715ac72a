"""The verb: from the part of a log seen so far, or from settings alone, to what will come."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves import Curves, read_only
from ..errors import CoopetitionError
from ..fitting.threads import one_blas_thread
from ..seeds import stream
from ..version import __version__
from .evidence import Evidence, evidence
from .outcomes import distribution, landmarks_of_paths, verdict_probabilities
from .paths import paths
from .prior import ParameterPrior
from .result import Band, Forecast
from .sampling import Population, posterior

if TYPE_CHECKING:  # knobs stands below: it is calibrated with the theories of this package
    from ..knobs import KnobMap

Array = NDArray[np.float64]

TIMES = 100  # of the bands
POINTS_A_HORIZON = 80  # blocks that a whole horizon of log would be averaged in
POINTS = (12, 40)  # fewest and most blocks of a log
SURE = 0.8  # probability of a verdict from which the log is said to tell
STRANGE = 5.5  # distance from the prior, in standard deviations of 12 parameters, 1 in 1,000
LEAST_SHARE = 0.5  # of the draws whose paths must be numbers


def forecast(
    curves: Curves,
    knob_map: KnobMap,
    *,
    horizon: float,
    until: float | None = None,
    settings: Mapping[str, Any] | None = None,
    level: float = 0.9,
    draws: int = 2000,
    moves: int = 4,
    seed: int = 0,
) -> Forecast:
    """Forecast a run.

    Parameters
    ----------
    curves
        The log. Its settings choose the prior; nothing after ``until`` is looked at.
    knob_map
        The population the run is thought to belong to. A run of the map with the same log is left
        out of it, or the forecast would have seen the future.
    horizon
        Training sequences up to which to forecast.
    until
        Sequences of the log to use, at most all it has: all when None, none (settings alone)
        when 0.
    settings
        The run's settings, where the log does not hold them.
    level
        Probability that a value lies in its interval or band.
    draws
        Size of the population of parameter sets.
    moves
        Metropolis moves a step; more where the draws should mix better.
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
    >>> from coopetition.knobs import default_map
    >>> from coopetition.logs import read_curves
    >>> (main,) = read_curves("published:main")
    >>> forecast(main, default_map(), until=5e6, horizon=2e7, draws=200).verdict
    'transient'
    """
    began = time.perf_counter()
    seen_before = _same_log(curves, knob_map)
    knob_map = knob_map.without(*seen_before)
    prior = knob_map.predict(curves.settings if settings is None else settings)
    _check(0.0 if until is None else until, horizon, level, draws, prior.origin)
    cut = min(curves.last_sequence, horizon if until is None else float(until))
    log: Evidence | None = None
    if cut > prior.origin:
        share = (cut - prior.origin) / (horizon - prior.origin)
        log = evidence(
            curves.until(cut),
            knob_map.discrepancy,
            until=cut,
            origin=prior.origin,
            pace=prior.pace,
            points=int(np.clip(POINTS_A_HORIZON * share, *POINTS)),
        )
    known = tuple(f"the map was calibrated on this run: {name} left out" for name in seen_before)
    with one_blas_thread():
        return predicted(
            knob_map, prior, log, run=curves.run, horizon=horizon, level=level, draws=draws,
            moves=moves, seed=seed, source=curves.source, began=began, notes=known,
        )  # fmt: skip


def forecast_settings(
    settings: Mapping[str, Any],
    knob_map: KnobMap,
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
    prior = knob_map.predict(settings)
    _check(0.0, horizon, level, draws, prior.origin)
    with one_blas_thread():
        return predicted(
            knob_map, prior, None, run=run, horizon=horizon, level=level, draws=draws, moves=0,
            seed=seed, source={"settings": dict(settings)}, began=began,
        )  # fmt: skip


def predicted(
    knob_map: KnobMap,
    prior: ParameterPrior,
    log: Evidence | None,
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
    """The forecast of a prior and a log, if there is one; see `forecast`."""
    theory, rng = knob_map.the_theory(), stream(seed, "forecast")
    population: Population | None = None
    if log is None:
        thetas = prior.sample(draws, rng)
    else:
        population = posterior(theory, prior, log, rng, draws=draws, moves=moves)
        thetas = population.thetas
    grid = np.linspace(0.0, horizon - prior.origin, TIMES + 1)[1:]
    futures = dict(
        paths(theory, thetas, grid, knob_map.discrepancy, rng, evidence=log, pace=prior.pace)
    )
    whole = np.all([np.all(np.isfinite(y), axis=1) for y in futures.values()], axis=0)
    if np.mean(whole) < LEAST_SHARE:
        raise CoopetitionError(
            f"{100 * (1 - np.mean(whole)):.0f} % of the simulations of run {run} failed before "
            f"{horizon:,.0f} sequences; check its settings (learning rate, batch size) or shorten "
            "the horizon"
        )
    futures = {evaluator: y[whole] for evaluator, y in futures.items()}
    thetas = thetas[whole]
    sequences = grid + prior.origin
    reach = [0.5, (1 - level) / 2, (1 + level) / 2]
    bands = {}
    for evaluator, y in futures.items():
        median, lower, upper = np.quantile(y, reach, axis=0)
        bands[evaluator] = Band(
            median=read_only(median), lower=read_only(lower), upper=read_only(upper)
        )
    flip, icl = (_joined(sequences, futures[name], log, name) for name in ("flip", "icl"))
    marks = landmarks_of_paths(sequences, flip, icl)
    chances = verdict_probabilities(flip)
    quantiles = np.exp(np.quantile(thetas, reach, axis=0))
    strange = float(np.median(prior.distance(thetas))) if log is not None else 0.0
    return Forecast(
        run=run,
        until=0.0 if log is None else log.until,
        horizon=float(horizon),
        level=level,
        sequences=read_only(sequences),
        bands=bands,
        landmarks={name: distribution(values, level) for name, values in marks.items()},
        verdict_probability=chances,
        parameters={
            name: (float(mid), float(low), float(high))
            for name, mid, low, high in zip(prior.names, *quantiles, strict=True)
        },
        telling=max(chances.values()) >= SURE,
        warnings=(
            *notes,
            *prior.notes,
            *(log.notes if log is not None else ()),
            *_warnings(chances, log, strange),
        ),
        thetas=read_only(thetas),
        provenance={
            "version": __version__,
            "source": dict(source),
            "map": {**knob_map.provenance, "runs": [r.run for r in knob_map.runs]},
            "seed": seed,
            "simulations": len(thetas) if population is None else population.evaluations,
            "seconds": round(time.perf_counter() - began, 3),
        },
    )


def _check(until: float, horizon: float, level: float, draws: int, origin: float) -> None:
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


def _same_log(curves: Curves, knob_map: KnobMap) -> list[str]:
    """The runs of the map that were read from a file of the same checksum."""
    own = curves.source.get("sha256")
    return [run.run for run in knob_map.runs if own and run.source.get("sha256") == own]


def _joined(sequences: Array, futures: Array, log: Evidence | None, evaluator: str) -> Array:
    """The log up to its end, then the paths; the paths alone where the log has no such curve."""
    record = None if log is None else log.record(evaluator)
    if log is None or record is None:
        return futures
    ahead = sequences > log.until * (1 + 1e-9)
    past = np.interp(sequences[~ahead], record.sequences + log.origin, record.values)
    behind = np.broadcast_to(past, (len(futures), len(past)))
    return np.concatenate([behind, futures[:, ahead]], axis=1)


def _warnings(
    chances: Mapping[str, float], log: Evidence | None, strange: float
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
    if strange > STRANGE:
        found.append(
            f"the log is unlike those the map was calibrated on ({strange:.1f} standard deviations "
            "from what its settings predict); trust the bands less"
        )
    return tuple(found)
