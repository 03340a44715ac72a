"""Adding runs to a map: a base's own log, or verified proposals."""

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
    """The map with further runs added; runs that it already holds are left as they are.

    Runs are identified by the checksum of their log (and their name in it, if the log holds
    several); another run of a known name gets a number.

    Each new run's parameters are fitted with the map's prediction from its settings as the prior,
    to as much of its log as for the map's other runs, and its quadratic log-likelihood joins the
    map's (`coopetition.forecasting.settings_map.calibration`). Effects are estimated anew; the
    deviations' variances, which a few runs cannot change much, stay.

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
        If none of the new runs can be used, or two runs that come from no file have the same name.
    """
    new = distinct(runs, known=[(run.run, run.source) for run in settings_map.runs])
    if not new:
        return settings_map
    updated = joined(settings_map, new, seed=seed)
    added = [run.run for run in updated.runs[len(settings_map.runs) :]]
    settings = {**settings_map.provenance.get("settings", {}), "added": added}
    origin = provenance("calibrate", settings, seed=seed, sources=[curves.source for curves in new])
    origin["before"] = dict(settings_map.provenance)
    by_name = {curves.run: curves for curves in new}
    updated = dataclasses.replace(updated, provenance=origin)
    return with_verdicts(updated, {name: by_name[name] for name in added}, seed=seed)
