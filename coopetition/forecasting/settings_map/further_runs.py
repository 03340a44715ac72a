"""Runs that join a calibrated map: each fitted to its log under what the map predicts of it.

A new run's θ maximises log p(log | θ) − ½ Σ_j (θ_j − m_j)²/C_jj, with m and C of the map's
prediction from its settings; near there its log-likelihood joins the map's as a quadratic form, as
those of the map's own runs did in its calibration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...curves.curve import Curves
from ...errors import LogError
from ...fitting.multistart import one_blas_thread
from ...seeds import stream
from .calibration import FAILED, FIRST_EVALUATIONS, limits_at, members_of
from .run_fit import informed, optimum_of, screened
from .settings_map import SettingsMap


def joined(settings_map: SettingsMap, runs: Sequence[Curves], *, seed: int = 0) -> SettingsMap:
    """The map with the information in further runs' logs, used as far as those of its own.

    Parameters
    ----------
    settings_map
        A calibrated map.
    runs
        Logs with their settings, each under a name of its own that the map does not have. Runs that
        cannot be used are named in `SettingsMap.excluded`.
    seed
        Of the draws that are screened.

    Raises
    ------
    LogError
        If none of the runs can be used.
    """
    theory, settings = settings_map.the_theory(), {curves.run: curves.settings for curves in runs}
    asked = settings_map.provenance.get("settings", {})
    used = {name: asked[name] for name in ("until", "points") if name in asked}
    members, logs, excluded = members_of(runs, theory, settings_map.discrepancy, **used)
    rng, found = stream(seed, "calibration"), []
    with one_blas_thread():
        for member, log in zip(members, logs, strict=True):
            prior = settings_map.predict(settings[member.run])
            variance = np.diag(prior.covariance)
            starts = screened(theory, log, prior.mean, variance, rng)
            limits = limits_at(settings_map, settings_map.design(member.settings, member.kind))
            optimum = optimum_of(
                theory, log, prior.mean, np.diag(1.0 / variance), starts, FIRST_EVALUATIONS, limits
            )
            found.append(informed(theory, log, member, optimum))
    excluded |= {run.run: FAILED for run in found if not run.information.any()}
    kept = [run for run in found if run.information.any()]
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in excluded.items())
        raise LogError(f"no run to learn from ({reasons})")
    return dataclasses.replace(
        settings_map,
        runs=(*settings_map.runs, *kept),
        excluded={**settings_map.excluded, **excluded},
    )
