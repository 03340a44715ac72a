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
    fits, rows
        The fits, and the table's lines in the same order.
    notes
        What was left out to compare on equal terms.
    """

    fits: tuple[Fit, ...]
    rows: tuple[Ranked, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """The table as text."""
        lines = [
            f"{'model':<34}{'free':>5}{'χ²':>10}{'AICc':>9}{'ΔAICc':>8}{'BIC':>9}{'weight':>8}"
        ]
        best = self.rows[0].aicc
        for row in self.rows:
            lines.append(
                f"{row.label:<34}{row.free:>5}{row.chi2:>10.1f}{row.aicc:>9.1f}"
                f"{row.aicc - best:>8.1f}{row.bic:>9.1f}{row.weight:>8.3f}"
            )
        return "\n".join([*lines, "(weight = Akaike weight)", *self.notes])


def rank(fits: Iterable[Fit], *, notes: tuple[str, ...] = ()) -> Comparison:
    """Put fits of the same measurements into one table.

    Parameters
    ----------
    fits
        Two or more fits of the same run, curves and points, weighted alike: χ² is in units of the
        points' errors.
    notes
        Passed on.

    Raises
    ------
    ValueError
        If there are fewer than two, or they were fitted to different measurements.
    """
    given = list(fits)
    if len(given) < 2:
        raise ValueError(f"a comparison needs at least 2 fits, not {len(given)}")
    first = given[0].measurements
    for other in (f.measurements for f in given[1:]):
        if other.run != first.run or not other.same_data(first):
            raise ValueError(
                f"fits of {first.run} ({first.count} points of {len(first.keys)} curves) and "
                f"{other.run} ({other.count} of {len(other.keys)}) cannot be compared: their "
                "curves, points, values or weights differ; fit the same log with the same keys, "
                "points and discrepancy"
            )
    given.sort(key=lambda f: (f.aicc, f.bic))
    aicc = np.array([f.aicc for f in given])
    share = np.exp(-0.5 * (aicc - aicc[0])) if np.isfinite(aicc[0]) else np.zeros(len(aicc))
    total = float(np.sum(share)) or 1.0
    rows = [
        Ranked(
            label=_label(f), free=len(f.free), chi2=f.chi2, aicc=f.aicc, bic=f.bic, weight=weight
        )
        for f, weight in zip(given, (share / total).tolist(), strict=True)
    ]
    return Comparison(fits=tuple(given), rows=tuple(rows), notes=notes)


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
    curves
        The run.
    models
        Two or more models or their names.
    settings, progress, **changes
        As in `fit`.

    Raises
    ------
    ValueError, LogError, FitError
        As in `fit`.
    """
    settings, curves = (settings or FitSettings()).changed(**changes), one_run(curves)
    several = [models] if isinstance(models, str | Model) else models
    declared = [get(m) if isinstance(m, str) else m for m in several]
    if len(declared) < 2:
        raise ValueError(
            f"a comparison needs at least 2 models, not {len(declared)}: give a list of them"
        )
    counts = {
        key: sum(is_predicted(m.strategy_names, key) for m in declared) for key in curves.curves
    }
    common = [key for key, count in counts.items() if count == len(declared)]
    dropped = [
        "/".join(key)
        for key, count in counts.items()
        if 0 < count < len(declared) and (key[1] != "loss" or settings.losses)
    ]
    notes = (f"not compared on {', '.join(dropped)}: not every model predicts it",)
    fits = [fit(curves, m, keys=common, settings=settings, progress=progress) for m in declared]
    return rank(fits, notes=notes if dropped else ())


def _label(result: Fit) -> str:
    """The model's name, and how this fit of it departs from the default."""
    usual = model_parameters(result.model, result.measurements.duration)
    free = {p.name for p in usual if p.vary}
    held = [p.name for p in result.declared if not p.vary and p.name in free]
    parts = (
        result.model.name,
        "flip gains" if result.settings.separate_flip else "",
        f"{', '.join(held)} held" if held else "",
    )
    return " + ".join(filter(None, parts))
