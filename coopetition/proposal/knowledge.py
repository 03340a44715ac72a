"""What runs add to a map: the base's own log sharpens proposals, verified runs the next map."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from ..curves.curve import Curves
from ..curves.verdicts import verdict
from ..files import provenance
from ..forecasting.settings_map import SettingsMap
from ..forecasting.settings_map.cross_validation import with_verdicts
from ..forecasting.settings_map.distinct_runs import distinct
from ..forecasting.settings_map.further_runs import joined
from ..logs import read_curves, small_runs
from .outcome_regression import OutcomeRegression, regress_outcomes


@functools.cache
def small_regression() -> OutcomeRegression:
    """The regression of verdicts on settings over the small runs, a second opinion on proposals.

    On these runs it is right more often than the map (``benchmarks/RESULTS.md``); it gives no
    curves and no reasons.

    Examples
    --------
    >>> run = {**read_curves(f"cpu:{small_runs()[-1]}")[0].settings, "horizon": 3.2e5}
    >>> shares = [{**run, "match_probability": share} for share in (0.0, 1.0)]
    >>> chances = [small_regression().predict(one)["persistent"] for one in shares]
    >>> chances[0] < chances[1]
    True
    """
    runs = [read_curves(f"cpu:{name}")[0] for name in small_runs()]
    return regress_outcomes(
        [{**curves.settings, "horizon": curves.last_sequence} for curves in runs],
        [verdict(curves) for curves in runs],
    )


def with_runs(settings_map: SettingsMap, runs: Iterable[Curves], *, seed: int = 0) -> SettingsMap:
    """The map with what further runs say; runs it has already are left as they are.

    A run is known by the checksum of its log (and its name there, where the log holds several),
    whatever it is called; another run of a known name gets a number.

    Each new run's parameters are fitted under what the map predicts of its settings, to as much of
    its log as of the map's other runs, and its quadratic log-likelihood joins the map's
    (`coopetition.forecasting.settings_map.further_runs`). Effects follow anew; the deviations'
    variances, which a few runs cannot change much, stay.

    Parameters
    ----------
    settings_map
        A map of a toy model of the catalogue.
    runs
        Logs with their settings. Runs that cannot be used are named in `SettingsMap.excluded`.
    seed
        Of the fits' starts.

    Raises
    ------
    LogError
        If runs are given and none of the new ones can be used, or two that no file holds have the
        same name.
    """
    new = distinct(runs, known=[(run.run, run.source) for run in settings_map.runs])
    if not new:
        return settings_map
    both = joined(settings_map, new, seed=seed)
    added = [run.run for run in both.runs[len(settings_map.runs) :]]
    settings = {**settings_map.provenance.get("settings", {}), "added": added}
    origin = provenance("calibrate", settings, seed=seed, sources=[curves.source for curves in new])
    both = dataclasses.replace(both, provenance={**origin, "before": dict(settings_map.provenance)})
    named = {curves.run: curves for curves in new}
    return with_verdicts(both, {name: named[name] for name in added}, seed=seed)
