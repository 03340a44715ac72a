"""What of a log a fit uses: the curves, thinned and weighted, on one grid of sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import ReadOnlyArrays, StoredArray, StoredPositions
from ..curves.curve import Curve, Curves, head_start, read_only
from ..dynamics.readout import Key, is_predicted, predicted_keys
from ..errors import LogError
from .parameters import FitSettings

MIN_POINTS = 8  # of a curve: fewer show no shape
MIN_RANGE = 3.0  # of all curves, in standard deviations of their own: less is flat


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Target(ReadOnlyArrays):
    """One curve to be fitted.

    Parameters
    ----------
    key
        ``(evaluator, metric)``.
    at, values, sigma
        Positions of its points on the common grid, what was measured there, and the standard
        deviation it is weighted by, shape ``(points,)``.
    """

    key: Key
    at: StoredPositions
    values: StoredArray
    sigma: StoredArray

    def __len__(self) -> int:
        return len(self.values)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Measurements(ReadOnlyArrays):
    """All that is fitted of a run.

    Parameters
    ----------
    run, source
        The run's name, and where the curves came from.
    sequences
        The common grid in the log's own count, the run's start first, shape ``(times,)``.
    targets, notes
        The curves; what was left out or assumed, a sentence each.
    """

    run: str
    sequences: StoredArray
    targets: tuple[Target, ...]
    source: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def origin(self) -> float:
        """The log's count at which the run began: not 0 for a run with a head start."""
        return float(self.sequences[0])

    @property
    def duration(self) -> float:
        """Sequences from the run's start to its last point."""
        return float(self.sequences[-1]) - self.origin

    @property
    def keys(self) -> tuple[Key, ...]:
        """The curves' keys."""
        return tuple(target.key for target in self.targets)

    @property
    def count(self) -> int:
        """Number of measured values."""
        return sum(map(len, self.targets))

    def same_data(self, other: Measurements) -> bool:
        """Whether both hold the same values at the same points with the same weights."""
        if self.keys != other.keys or not np.array_equal(self.sequences, other.sequences):
            return False
        return all(
            np.array_equal(getattr(mine, part), getattr(its, part))
            for mine, its in zip(self.targets, other.targets, strict=True)
            for part in ("at", "values", "sigma")
        )


def measurements(
    curves: Curves,
    strategies: Sequence[str],
    settings: FitSettings,
    *,
    keys: Collection[Key] | None = None,
) -> Measurements:
    """The curves that a model with these strategies predicts, weighted by 1/(sem² + discrepancy²).

    With ``keys``, only those. The grid begins at the run's start, `head_start`.
    """
    losses = [key for key in predicted_keys(strategies) if key[1] == "loss"]
    if settings.losses and keys is None and not any(key in curves.curves for key in losses):
        names = ", ".join("/".join(key) for key in losses)
        raise LogError(
            f"run {curves.run} has no loss to fit ({names}): fit without losses, or name its "
            "columns with --columns icl/loss=…"
        )
    if keys is not None:
        for evaluator, metric in keys:
            curves.curve(evaluator, metric)
        own = {key: curve for key, curve in curves.curves.items() if key in keys}
        curves = dataclasses.replace(curves, curves=own)
    origin = head_start(curves.settings)
    usable, notes = _usable(curves, strategies, settings, origin)
    if origin:
        notes.append(
            f"the run began at {origin:,.0f} sequences, with a head start: so does the fit"
        )
    grid = np.unique(np.concatenate([[origin], *(curve.sequences for curve in usable)]))
    targets = []
    for curve in usable:
        discrepancy = _discrepancy(curve, settings)
        name, sem = f"{curve.evaluator}/{curve.metric}", curve.sem
        if sem is None or not np.all(np.isfinite(sem)):
            notes.append(
                f"{name} has no standard errors: every point weighs as if its error were "
                f"{discrepancy:g}"
            )
            sem = np.zeros(len(curve))
        sigma = np.hypot(sem, discrepancy)
        if not np.all(sigma > 0):
            raise LogError(
                f"{name} of run {curves.run} has points with a standard error of 0 and the "
                "discrepancy is 0: nothing to weigh by; set discrepancy above 0"
            )
        at, values = np.searchsorted(grid, curve.sequences), read_only(curve.values)
        key = (curve.evaluator, curve.metric)
        targets.append(Target(key=key, at=at, values=values, sigma=read_only(sigma)))
    return Measurements(
        run=curves.run,
        sequences=read_only(grid),
        targets=tuple(targets),
        source=curves.source,
        notes=tuple(notes),
    )


def _usable(
    curves: Curves, strategies: Sequence[str], settings: FitSettings, origin: float
) -> tuple[list[Curve], list[str]]:
    """The curves that can be fitted, thinned, and notes on what was left out."""
    usable: list[Curve] = []
    notes: list[str] = []
    short: list[str] = []
    for curve in curves:
        name = f"{curve.evaluator}/{curve.metric}"
        if not is_predicted(strategies, (curve.evaluator, curve.metric)):
            if curve.metric != "loss":
                notes.append(f"{name} is not fitted: the model does not predict it")
            continue
        if curve.metric == "loss" and not settings.losses:
            continue
        finite = np.isfinite(curve.values) & np.isfinite(curve.sequences)
        early = finite & (curve.sequences < origin)
        for what, left_out in (("that are no numbers", ~finite), ("before the run's start", early)):
            if np.any(left_out):
                notes.append(f"{name}: {int(np.sum(left_out))} points {what} left out")
        curve = curve.take(finite & ~early)
        if len(curve) < MIN_POINTS:
            short.append(f"{name} has {len(curve)} points")
            continue
        if len(curve) > settings.points:
            notes.append(f"{name}: {settings.points} of {len(curve)} points used")
            rows = np.linspace(0, len(curve) - 1, settings.points).round()
            curve = curve.take(np.unique(rows.astype(np.intp)))
        usable.append(curve)
    if not usable and short:
        raise LogError(
            f"run {curves.run} is too short to fit: {', '.join(short)}, at least {MIN_POINTS} are "
            "needed; log more often or train longer"
        )
    if not usable:
        have = ", ".join("/".join(key) for key in curves.curves) or "none at all"
        wanted = ", ".join("/".join(key) for key in predicted_keys(strategies))
        raise LogError(
            f"run {curves.run} has no curve that the model predicts: it has {have}; usable are "
            f"{wanted} (name columns with --columns flip=…)"
        )
    notes += [f"{text}, fewer than {MIN_POINTS}: not fitted" for text in short]
    if all(_is_flat(curve, settings) for curve in usable):
        ranges = ", ".join(
            f"{c.evaluator} {np.min(c.values):.3f}–{np.max(c.values):.3f}" for c in usable
        )
        raise LogError(
            f"every curve of run {curves.run} is flat ({ranges}): nothing has been learned yet "
            "that a model could be fitted to; train longer"
        )
    return usable, notes


def _is_flat(curve: Curve, settings: FitSettings) -> bool:
    """Whether the means of eight blocks of a curve (not single points) differ less than noise."""
    blocks = np.array([np.mean(block) for block in np.array_split(curve.values, 8)])
    noise = float(np.median(np.abs(np.diff(curve.values)))) / np.sqrt(len(curve.values) / 8)
    return bool(np.ptp(blocks) < MIN_RANGE * max(noise, 0.5 * _discrepancy(curve, settings)))


def _discrepancy(curve: Curve, settings: FitSettings) -> float:
    return settings.loss_discrepancy if curve.metric == "loss" else settings.discrepancy
