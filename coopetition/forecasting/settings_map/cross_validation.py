"""Cross-validation: verdicts of a map's runs, predicted without the runs of the same settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...curves.curve import Curves
from ...curves.verdicts import verdict, verdict_probabilities
from ...fitting.multistart import one_blas_thread
from ..paths import flip_paths, path_times
from .run_information import VerdictRecord
from .settings_map import SettingsMap

Array = NDArray[np.float64]

DRAWS = 500
SHARES = (0.25, 0.5, 1.0)  # of a run's log, at whose ends its verdict is taken


def with_verdicts(
    settings_map: SettingsMap, logs: Mapping[str, Curves], *, seed: int = 0, progress: bool = False
) -> SettingsMap:
    """The map with the verdicts of the runs whose logs are given; the others keep theirs.

    Runs without flip get none; nor does any where all runs have the same settings, for then no run
    is left to predict from.
    """
    from tqdm.auto import tqdm

    if len(settings_map.combinations) < 2:
        return settings_map
    records: dict[str, tuple[VerdictRecord, ...]] = {}
    with one_blas_thread():
        for combination in tqdm(
            settings_map.combinations, desc="cross-validating", leave=False, disable=not progress
        ):
            alike = [run for run in settings_map.runs if run.combination == combination]
            new = [run for run in alike if run.run in logs]
            if not new:
                continue
            others = settings_map.without(*(run.run for run in alike))
            paths: dict[float, tuple[Array, Array]] = {}  # by their end, shared by seeds
            for run in new:
                log = logs[run.run]
                if run.until not in paths:
                    paths[run.until] = _flip_paths(others, log, run.until, seed)
                records[run.run] = _records(log, run.until, *paths[run.until])
    runs = tuple(
        dataclasses.replace(run, verdicts=records.get(run.run, run.verdicts))
        for run in settings_map.runs
    )
    return dataclasses.replace(settings_map, runs=runs)


def _flip_paths(others: SettingsMap, log: Curves, until: float, seed: int) -> tuple[Array, Array]:
    """Predicted paths of a run: sequences and flips, ``(draws, times)``."""
    theory, prior = others.the_theory(), others.predict(log.settings)
    flips = flip_paths(theory, others.discrepancy, prior, horizon=until, draws=DRAWS, seed=seed)
    return prior.origin + path_times(prior, until), flips


def _records(
    log: Curves, until: float, sequences: Array, flips: Array
) -> tuple[VerdictRecord, ...]:
    """Verdicts at shares of the log, with the shares of the paths that have them."""
    records = []
    for share in SHARES:
        horizon = share * until
        steps = int(np.searchsorted(sequences, horizon * (1 + 1e-9), side="right"))
        if steps == 0 or not len(flips):
            continue
        try:
            outcome = verdict(log.until(horizon))
        except ValueError:  # no flip, or fewer than two points of it by then
            continue
        chances = verdict_probabilities(flips[:, :steps])
        records.append(VerdictRecord(horizon=horizon, verdict=outcome, predicted=chances))
    return tuple(records)
