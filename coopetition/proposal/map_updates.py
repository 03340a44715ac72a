"""Maps that have learnt from further runs: a base's own log, or verified proposals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..curves.curve import Curves
from ..curves.runs import distinct
from ..files import provenance
from ..forecasting.settings_map import SettingsMap
from ..forecasting.settings_map.calibration import joined
from ..forecasting.settings_map.cross_validation import with_verdicts


def with_runs(settings_map: SettingsMap, runs: Iterable[Curves], *, seed: int = 0) -> SettingsMap:
    """The map with what further runs say; runs it has already are left as they are.

    A run is known by the checksum of its log (and its name there, where the log holds several),
    whatever it is called; another run of a known name gets a number.

    Each new run's parameters are fitted under what the map predicts of its settings, to as much of
    its log as of the map's other runs, and its quadratic log-likelihood joins the map's
    (`coopetition.forecasting.settings_map.calibration`). Effects follow anew; the deviations'
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
    by_name = {curves.run: curves for curves in new}
    return with_verdicts(both, {name: by_name[name] for name in added}, seed=seed)
