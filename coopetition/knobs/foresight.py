"""What a map would have said of each of its runs, had those of the same settings not been in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..curves import Curves
from ..fitting.threads import one_blas_thread
from ..forecasting.flips import TIMES, flips_of
from ..forecasting.outcomes import verdict_probabilities
from ..landmarks import verdict
from .covariates import head_start
from .knob_map import KnobMap
from .run_information import VerdictRecord

Array = NDArray[np.float64]

DRAWS = 500
SHARES = (0.25, 0.5, 1.0)  # of a run's log, at whose ends its verdict is taken


def with_verdicts(knob_map: KnobMap, logs: Mapping[str, Curves], *, seed: int = 0) -> KnobMap:
    """The map with the verdicts of the runs whose logs are given; the others keep theirs.

    Runs whose log tells no verdict (no flip) get none, and none gets any where all runs have the
    same settings: without them nothing is left to foresee from.

    Parameters
    ----------
    knob_map
        The map.
    logs
        The runs' curves by name.
    seed
        Of the futures.
    """
    if len(knob_map.combinations) < 2:
        return knob_map
    found: dict[str, tuple[VerdictRecord, ...]] = {}
    with one_blas_thread():
        for combination in knob_map.combinations:
            alike = [run for run in knob_map.runs if run.combination == combination]
            new = [run for run in alike if run.run in logs]
            if not new:
                continue
            others = knob_map.without(*(run.run for run in alike))
            flips: dict[float, Array] = {}  # by their end: seeds of one setting share them
            for run in new:
                log = logs[run.run]
                if run.until not in flips:
                    flips[run.until] = _flips(others, log, run.until, seed)
                found[run.run] = _records(log, run.until, flips[run.until])
    runs = tuple(
        dataclasses.replace(run, verdicts=found.get(run.run, run.verdicts)) for run in knob_map.runs
    )
    return dataclasses.replace(knob_map, runs=runs)


def _flips(others: KnobMap, log: Curves, until: float, seed: int) -> Array:
    """Futures of such a run by the other runs, shape ``(draws, times)``."""
    theory, prior = others.the_theory(), others.predict(log.settings)
    return flips_of(theory, others.discrepancy, prior, horizon=until, draws=DRAWS, seed=seed)


def _records(log: Curves, until: float, flips: Array) -> tuple[VerdictRecord, ...]:
    """Verdicts at shares of the log, with what the futures said of them."""
    origin = head_start(log.settings)
    found = []
    for share in SHARES:
        horizon = share * until
        steps = round(TIMES * (horizon - origin) / (until - origin))
        if steps <= 0 or not len(flips):
            continue
        try:
            happened = verdict(log.until(horizon))
        except ValueError:  # no flip, or fewer than two points of it by then
            continue
        chances = verdict_probabilities(flips[:, :steps])
        found.append(VerdictRecord(horizon=horizon, verdict=happened, foreseen=chances))
    return tuple(found)
