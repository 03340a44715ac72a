"""A fit's prediction: curves with bands to a horizon, and the probability of each verdict.

Bands come from draws of the posterior, each simulated to the horizon. Only this one log is used; a
forecast from a population of other runs is much sharper.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays, graded_grid
from ..curves.curve import Curves, read_only
from ..curves.landmarks import LandmarkForecast, distribution, landmarks_of_paths
from ..curves.verdicts import verdict_probabilities
from ..dynamics.readout import ACCURACY, Key
from ..errors import FitError
from ..seeds import stream
from .joint_fit import Fit, predicted_curves
from .multistart import one_blas_thread
from .posterior import posterior_draws

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

TIMES = 200  # steps to the horizon
GRADING = 0.25  # of the log's length, from where steps grow
SETTLED = 0.5  # share of the draws that must be distinct for bands not to be called rough
FEWEST = 20  # simulations that must reach the horizon for a 90 % band
LEVEL = 0.9  # of bands and intervals


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction(ReadOnlyArrays):
    """Curves and verdicts up to a horizon.

    Parameters
    ----------
    horizon, curves
        Training sequences to predict up to, and the best fit's curves.
    lower, upper
        Ends of the 90 % bands of the mean curve, by ``(evaluator, metric)``, shape ``(times,)``.
    verdict_probability
        Share of the draws with each verdict at the horizon; empty where flip is not predicted.
    crossover
        When flip first falls through 0.5 after emergence, over all draws; a quantile is None where
        too few do so by the horizon. None where flip is not predicted.
    settled, notes
        Whether enough of the draws are distinct, and what to know before using it.
    """

    horizon: float
    curves: Curves
    lower: Mapping[Key, Array]
    upper: Mapping[Key, Array]
    verdict_probability: Mapping[str, float]
    crossover: LandmarkForecast | None
    settled: bool
    notes: tuple[str, ...] = ()

    def to_table(self) -> pd.DataFrame:
        """The curves as a tidy table, the bands in columns ``lower`` and ``upper``."""
        table = self.curves.to_table().drop(columns=["sem", "n"])
        for name, ends in (("lower", self.lower), ("upper", self.upper)):
            table[name] = np.concatenate([ends[key] for key in self.curves.curves])
        return table

    def summary(self) -> str:
        """Verdict probabilities and crossover as text."""
        odds = ", ".join(f"{name} {p:.2f}" for name, p in self.verdict_probability.items())
        lines = [f"at {self.horizon:,.0f} sequences: {odds or 'no verdict without flip'}"]
        if self.crossover is not None:
            quantiles = self.crossover.median, self.crossover.lower, self.crossover.upper
            middle, low, high = ("later" if q is None else f"{q:,.0f}" for q in quantiles)
            lines.append(f"crossover {middle} [{low}, {high}] ({LEVEL:.0%})")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def predict(fit: Fit, horizon: float, *, draws: int = 200, seed: int = 0) -> Prediction:
    """Predict a run's curves, verdict and crossover from its fit.

    Parameters
    ----------
    fit, horizon
        A fit, and training sequences, later than the run's start.
    draws, seed
        Parameter sets to simulate, and the seed of their draws.

    Raises
    ------
    ValueError
        If the horizon is not finite or not after the run's start, or there are too few draws for a
        band.
    FitError
        If the best fit or too many draws cannot be simulated to the horizon.
    """
    origin = fit.measurements.origin
    if not (np.isfinite(horizon) and horizon > 0):
        raise ValueError(f"horizon must be a positive number of sequences, not {horizon!r}")
    if horizon <= origin:
        raise ValueError(
            f"horizon = {horizon:g}: the run began at {origin:,.0f} sequences; choose a later one"
        )
    if draws < FEWEST:
        raise ValueError(f"draws must be at least {FEWEST} for 90 % bands, not {draws}")
    bend = GRADING * fit.measurements.duration
    grid = origin + graded_grid(float(horizon) - origin, bend, TIMES)
    keys = fit.measurements.keys
    with one_blas_thread():
        thetas, distinct = posterior_draws(fit, draws, stream(seed, "prediction"))
        paths = fit.problem.predict(np.vstack([fit.theta[None, :], thetas]), grid, keys)
    complete = np.all([np.all(np.isfinite(values), axis=1) for values in paths.values()], axis=0)
    if not complete[0] or np.sum(complete) < FEWEST:
        raise FitError(
            f"only {int(np.sum(complete))} of {len(complete)} simulations of {fit.model.name} "
            f"reach {horizon:,.0f} sequences; choose a nearer horizon or raise max_steps"
        )
    bands = {
        key: np.quantile(values[1:][complete[1:]], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        for key, values in paths.items()
    }
    probabilities: Mapping[str, float] = {}
    crossover = None
    if ("flip", ACCURACY) in paths:
        flip = paths["flip", ACCURACY][1:][complete[1:]]
        probabilities = verdict_probabilities(flip)
        crossover = distribution(landmarks_of_paths(grid, flip)["crossover"], LEVEL)
    return Prediction(
        horizon=float(horizon),
        curves=predicted_curves(fit, grid, {key: values[0] for key, values in paths.items()}),
        lower={key: read_only(band[0]) for key, band in bands.items()},
        upper={key: read_only(band[1]) for key, band in bands.items()},
        verdict_probability=probabilities,
        crossover=crossover,
        settled=distinct >= SETTLED,
        notes=_notes(fit, horizon, distinct, complete),
    )


def _notes(
    fit: Fit, horizon: float, distinct: float, complete: NDArray[np.bool_]
) -> tuple[str, ...]:
    notes = []
    end = float(fit.measurements.sequences[-1])
    if horizon > end:
        notes.append(
            f"beyond {end:,.0f} sequences this extrapolates one log by its own fit: no other run's "
            "experience is used"
        )
    if distinct < SETTLED:
        notes.append(
            f"bands are rough: only {distinct:.0%} of the draws they come from are distinct"
        )
    if not np.all(complete):
        notes.append(
            f"{int(np.sum(~complete))} of {len(complete)} simulations did not reach the horizon "
            "and are left out"
        )
    return tuple(notes)
