"""Which model the data prefer: several fits of one run in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..curves.curve import Curves, one_run
from ..dynamics.catalogue import get
from ..dynamics.model import Model
from ..dynamics.readout import is_predicted
from .joint_fit import Fit, fit
from .parameters import FitSettings, model_parameters


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranked:
    """One model's line: label, number of free parameters, criteria of its `Fit`, Akaike weight."""

    label: str
    free: int
    chi2: float
    aicc: float
    bic: float
    weight: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Fits of the same measurements, the preferred (lowest AICc) first.

    Parameters
    ----------
    fits, rows, notes
        The fits, the table's lines in the same order, and what was left out to compare on equal
        terms.
    """

    fits: tuple[Fit, ...]
    rows: tuple[Ranked, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """The table as text."""
        title = f"{'model':<34}{'free':>5}{'χ²':>10}{'AICc':>9}{'ΔAICc':>8}{'BIC':>9}{'weight':>8}"
        best = self.rows[0].aicc
        lines = [
            f"{row.label:<34}{row.free:>5}{row.chi2:>10.1f}{row.aicc:>9.1f}"
            f"{row.aicc - best:>8.1f}{row.bic:>9.1f}{row.weight:>8.3f}"
            for row in self.rows
        ]
        return "\n".join([title, *lines, "(weight = Akaike weight)", *self.notes])


def rank(fits: Iterable[Fit], *, notes: tuple[str, ...] = ()) -> Comparison:
    """Put fits of the same measurements into one table.

    Parameters
    ----------
    fits, notes
        Two or more fits of the same run, curves, points and weights; notes for the comparison.

    Raises
    ------
    ValueError
        If there are fewer than two, or they were fitted to different measurements.
    """
    order = list(fits)
    if len(order) < 2:
        raise ValueError(f"a comparison needs at least 2 fits, not {len(order)}")
    first = order[0].measurements
    for other in (f.measurements for f in order[1:]):
        if other.run != first.run or not other.same_data(first):
            raise ValueError(
                f"fits of {first.run} ({first.count} points of {len(first.keys)} curves) and "
                f"{other.run} ({other.count} of {len(other.keys)}) cannot be compared: their "
                "curves, points, values or weights differ; fit the same log with the same keys, "
                "points and discrepancy"
            )
    order.sort(key=lambda f: (f.aicc, f.bic))
    aicc = np.array([f.aicc for f in order])
    share = np.exp(-0.5 * (aicc - aicc[0])) if np.isfinite(aicc[0]) else np.zeros(len(aicc))
    weights: list[float] = (share / (float(np.sum(share)) or 1.0)).tolist()
    rows = tuple(
        Ranked(label=_label(f), free=len(f.free), chi2=f.chi2, aicc=f.aicc, bic=f.bic, weight=w)
        for f, w in zip(order, weights, strict=True)
    )
    return Comparison(fits=tuple(order), rows=rows, notes=notes)


def compare(
    curves: Curves,
    models: Iterable[Model | str],
    *,
    settings: FitSettings | None = None,
    progress: bool = False,
    **changes: Any,
) -> Comparison:
    """Fit several models to the same curves of a run and rank them.

    Only curves that every model predicts are used, so that criteria can be compared.

    Parameters
    ----------
    curves, models
        The run, and two or more models or their names.
    settings, progress, **changes
        As in `fit`.

    Raises
    ------
    ValueError, LogError, FitError
        As in `fit`.
    """
    settings, curves = (settings or FitSettings()).changed(**changes), one_run(curves)
    names = [models] if isinstance(models, str | Model) else models
    several = [get(m) if isinstance(m, str) else m for m in names]
    total = len(several)
    if total < 2:
        raise ValueError(f"a comparison needs at least 2 models, not {total}: give a list of them")
    counts = {k: sum(is_predicted(m.strategy_names, k) for m in several) for k in curves.curves}
    common = [key for key, count in counts.items() if count == total]
    partial = [
        "/".join(key)
        for key, count in counts.items()
        if 0 < count < total and (key[1] != "loss" or settings.losses)
    ]
    notes = (f"not compared on {', '.join(partial)}: not every model predicts it",)
    fits = [fit(curves, m, keys=common, settings=settings, progress=progress) for m in several]
    return rank(fits, notes=notes if partial else ())


def _label(result: Fit) -> str:
    """The model's name, and where this fit of it differs from the default."""
    usual = model_parameters(result.model, result.measurements.duration)
    free = {p.name for p in usual if p.vary}
    held = ", ".join(p.name for p in result.declared if not p.vary and p.name in free)
    flip = ["flip gains"] if result.settings.separate_flip else []
    return " + ".join([result.model.name, *flip, *([f"{held} held"] if held else [])])
