"""The verbs: from the part of a log seen so far, or from settings alone, to what will come."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..curves.curve import Curves, one_run
from ..fitting.multistart import one_blas_thread
from ..settings.names import short_names
from .observations import Observations, observations
from .prediction import foretell
from .result import Forecast

if TYPE_CHECKING:  # knobs stands below: it is calibrated with the theories of this package
    from ..settings.training import TrainingSettings
    from .settings_map import SettingsMap

BLOCK = 2.5e5  # sequences, at the base time scale, that a log is averaged over
POINTS = (12, 40)  # fewest and most blocks of a log


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
        The log. Its settings choose the prior; nothing after ``until`` is looked at.
    settings_map
        The population the run is thought to belong to. The run itself is left out of it, or the
        forecast would have seen the future; others of the same log stay.
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
    >>> from coopetition.forecasting.settings_map import default_map
    >>> from coopetition.logs import read_curves
    >>> (main,) = read_curves("published:main")
    >>> forecast(main, default_map(), until=5e6, horizon=2e7, draws=200).verdict
    'transient'
    """
    began = time.perf_counter()
    curves = one_run(curves)
    require_map(settings_map)
    seen_before = settings_map.names_of(curves)
    settings_map = settings_map.without(*seen_before)
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
    known = [f"the map was calibrated on this run: {name} left out" for name in seen_before]
    if until is None and curves.last_sequence > horizon * (1 + 1e-9):
        known.append(
            f"the log goes on to {curves.last_sequence:,.0f} sequences: what is said of "
            f"{horizon:,.0f} it has shown; choose a later horizon, or an earlier end of what is "
            "known (until)"
        )
    with one_blas_thread():
        return foretell(
            settings_map, settings, prior, log, run=curves.run, horizon=horizon, level=level,
            draws=draws, moves=moves, seed=seed, source=curves.source, began=began,
            notes=tuple(known),
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
    with one_blas_thread():
        return foretell(
            settings_map, settings, prior, None, run=run, horizon=horizon, level=level, draws=draws,
            moves=0, seed=seed, source={"settings": dict(settings)}, began=began,
        )  # fmt: skip


def require_map(settings_map: object) -> None:
    """Refuse a map's path where the map is wanted.

    Raises
    ------
    ValueError
        If it is one.
    """
    if isinstance(settings_map, str | os.PathLike):
        path = str(settings_map)
        raise ValueError(f"settings_map = {path!r}: read the map first, knobs.load_map({path!r})")


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
