"""Verdict probabilities, corrected on the map's own runs.

A toy model's parameters are smooth functions of the settings, so it says too little of runs near
the edge between two verdicts. Cross-validated predictions of the map's runs, held against their
verdicts, teach how far to rely on it and where it errs:

    log q(v) = a · log p(v) + w_v · z + const,   w_v ~ N(0, τ²),  a ~ N(1, ½²)

p are the theory's probabilities from settings alone, q the corrected ones, z the standardised
covariates, the logarithm of the horizon and a constant. τ maximises the evidence: few runs teach
only a. Horizons before those of the runs teach nothing: towards half of the first the correction
fades, log q − log p multiplied by a number from 1 to 0.
`coopetition.forecasting.reweighting` applies the correction to paths that follow a log.

Reference: Wolpert 1992, Neural Networks 5:241 (stacking).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...arrays import ReadOnlyArrays
from ...curves.verdicts import RARE, VERDICTS
from ...settings.covariates import COVARIATES
from .logistic import Scaling, fit_multinomial, softmax
from .run_information import RunInformation

Array = NDArray[np.float64]

WIDTHS = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.5)  # τ
A_RUN = 1.5  # observations that the verdicts of one run at several horizons count for
LEAN = 0.1  # least weight of a covariate that the summary names
EARLY = 0.05  # share of the verdicts before the first horizon
FADES = 2.0  # factor below the first horizon within which the correction fades
HORIZON = "horizon"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class VerdictCorrection(ReadOnlyArrays):
    """A fitted correction."""

    scaling: Scaling  # of the covariates that differ between the runs
    weights: Array  # w, (verdicts, names + 1), the constant's last
    power: float  # a; above 1 where the map is right more often than it says
    width: float  # τ
    horizons: tuple[float, float]  # between which nearly all verdicts were, the longest included

    def correct(
        self,
        chances: Mapping[str, float],
        values: Mapping[str, float | None],
        horizon: float,
    ) -> dict[str, float]:
        """The corrected probabilities, q, from p, at covariates that `SettingsMap.nearby` clipped.

        Verdicts at longer horizons than the runs' are corrected as at the longest; at shorter ones
        less, and at half the first not at all.
        """
        first, last = self.horizons
        row, theory = _row(values, float(np.clip(horizon, first, last))), _logarithms(chances)
        fade = float(np.clip(1 + math.log(horizon / first) / math.log(FADES), 0.0, 1.0))
        corrected = self.weights @ self.scaling.z(row) + self.power * theory
        logits = theory + fade * (corrected - theory)
        return {verdict: float(p) for verdict, p in zip(VERDICTS, softmax(logits), strict=True)}

    def summary(self) -> str:
        """How the theory's verdicts are corrected, in a line."""
        how = "surer" if self.power > 1 else "less sure"
        lean = {
            name: float(np.max(np.abs(self.weights[:, i])))
            for i, name in enumerate(self.scaling.names)
        }
        most = [name for name in sorted(lean, key=lambda n: -lean[n]) if lean[name] >= LEAN][:3]
        by = f", and lean with {', '.join(most)}" if most else ""
        return f"verdicts are {how} than the theory's (power {self.power:.2f}){by}"


def fit_correction(runs: Sequence[RunInformation]) -> VerdictCorrection | None:
    """The correction learnt from runs' verdicts; None if there are none."""
    records = [(run, record) for run in runs for record in run.verdicts]
    if not records:
        return None
    rows = [_row(run.settings, record.horizon) for run, record in records]
    scaling = Scaling.of(rows)
    z = np.array([scaling.z(row) for row in rows])
    outcomes = np.array([[float(record.verdict == v) for v in VERDICTS] for _, record in records])
    log_first = np.array([_logarithms(record.predicted) for _, record in records])
    counts = np.array([min(1.0, A_RUN / len(run.verdicts)) for run, _ in records])
    fits = {
        width: fit_multinomial(
            z, outcomes, np.full(z.shape[1], width), log_first=log_first, counts=counts
        )
        for width in WIDTHS
    }
    width = max(fits, key=lambda width: fits[width].log_evidence)
    horizons = np.array([record.horizon for _, record in records])
    return VerdictCorrection(
        scaling=scaling,
        weights=fits[width].weights,
        power=fits[width].power,
        width=width,
        horizons=(float(np.quantile(horizons, EARLY)), float(np.max(horizons))),
    )


def _row(values: Mapping[str, float | None], horizon: float) -> dict[str, float]:
    """Covariates, unknown ones 0, and the logarithm of the horizon."""
    row = {covariate.name: values.get(covariate.name) or 0.0 for covariate in COVARIATES}
    return {**row, HORIZON: math.log(horizon)}


def _logarithms(chances: Mapping[str, float]) -> Array:
    """Logarithms of p in the order of the verdicts, none of them impossible."""
    p = np.array([chances[verdict] for verdict in VERDICTS])
    return np.asarray(np.log(RARE + (1 - len(VERDICTS) * RARE) * p))
