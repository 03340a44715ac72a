"""The result of a forecast: bands, distributions of landmarks, verdict probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays
from ..curves.landmarks import LandmarkForecast
from ..curves.verdicts import Verdict, most_probable
from ..dynamics.readout import ACCURACY

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

WORTH_TELLING = 0.05  # correction of a probability from which the summary has the theory's too


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Band(ReadOnlyArrays):
    """Where a curve is expected, pointwise, shape ``(times,)`` each.

    Parameters
    ----------
    median, lower, upper
        Quantiles of the accuracy.
    """

    median: Array
    lower: Array
    upper: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Forecast(ReadOnlyArrays):
    """A forecast of a run up to a horizon.

    Parameters
    ----------
    run
        The run's name.
    until
        Sequences of the log that were used; 0 for settings alone.
    horizon
        Sequences up to which is forecast.
    level
        Probability with which a value lies in its interval or band.
    sequences
        Where bands are given, up to the horizon, shape ``(times,)``.
    bands
        By evaluator. Before ``until`` too they are the theory's, with its discrepancy, given the
        log.
    landmarks
        ``emergence, peak, peak_flip, crossover, vanishing``; those before ``until`` are the log's.
    verdict_probability
        Of ``persistent, transient, never`` at the horizon.
    theory_probability
        The theory's own, not yet corrected on the map's runs.
    parameters
        Median, lower and upper end of the theory's parameters.
    telling
        Whether one verdict is probable enough to rely on.
    warnings
        Reasons to trust the numbers less, a sentence each.
    thetas
        The draws of θ, shape ``(draws, k)``.
    provenance
        Version, source of the log, map, seed, simulations.
    """

    run: str
    until: float
    horizon: float
    level: float
    sequences: Array
    bands: Mapping[str, Band]
    landmarks: Mapping[str, LandmarkForecast]
    verdict_probability: Mapping[str, float]
    theory_probability: Mapping[str, float]
    parameters: Mapping[str, tuple[float, float, float]]
    telling: bool
    warnings: tuple[str, ...]
    thetas: Array = dataclasses.field(repr=False)
    provenance: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The most probable verdict."""
        return most_probable(self.verdict_probability)

    def to_table(self) -> pd.DataFrame:
        """The bands as a tidy table ``run, evaluator, metric, sequences, value, lower, upper``."""
        import pandas as pd

        blocks = []
        for evaluator, band in self.bands.items():
            names = {"run": self.run, "evaluator": evaluator, "metric": ACCURACY}
            numbers = {"value": band.median, "lower": band.lower, "upper": band.upper}
            blocks.append(pd.DataFrame({**names, "sequences": self.sequences, **numbers}))
        return pd.concat(blocks, ignore_index=True)

    def as_dict(self, curves: str | None = None) -> dict[str, Any]:
        """Plain numbers for JSON; ``curves`` is the file that `to_table` was written to."""
        marks = {name: dataclasses.asdict(mark) for name, mark in self.landmarks.items()}
        crossover = marks["crossover"]
        return {
            "until": self.until,
            "horizon": self.horizon,
            "level": self.level,
            "verdict": self.verdict,
            "verdict_probability": dict(self.verdict_probability),
            "theory_probability": dict(self.theory_probability),
            "telling": self.telling,
            "crossover": {name: crossover[name] for name in ("median", "lower", "upper")},
            "landmarks": marks,
            "parameters": {
                name: {"value": value, "lower": lower, "upper": upper}
                for name, (value, lower, upper) in self.parameters.items()
            },
            "warnings": list(self.warnings),
            "curves": curves,
        }

    def summary(self) -> str:
        """The forecast in a few lines of text."""
        chances = _in_words(self.verdict_probability)
        first = f"the first {self.until:,.0f} sequences" if self.until else "settings alone"
        lines = [f"{self.run} at {self.horizon:,.0f} sequences, from {first}: {chances}"]
        changed = (abs(p - self.theory_probability[v]) for v, p in self.verdict_probability.items())
        if max(changed) >= WORTH_TELLING:
            alone = _in_words(self.theory_probability)
            lines.append(f"  by the theory alone, not corrected on the map's runs: {alone}")
        for name, mark in self.landmarks.items():
            if mark.probability < 0.005:
                continue
            shape = "{:.2f}" if name == "peak_flip" else "{:,.0f}"
            low, mid, high = (
                "beyond" if q is None else shape.format(q)
                for q in (mark.lower, mark.median, mark.upper)
            )
            lines.append(
                f"  {name:<10} {mid} [{low}, {high}], chance {100 * mark.probability:.0f} %"
            )
        return "\n".join([*lines, *(f"  note: {text}" for text in self.warnings)])


def _in_words(chances: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in chances.items())
