"""The accuracies that landmarks and verdicts are read off: as they were logged, and smoothed."""

from __future__ import annotations

import dataclasses

from .curves import Curve, Curves, head_start, headline_metric
from .smoothing import SmoothCurve, exact_curve, smooth_curve


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """An evaluator's accuracy.

    Parameters
    ----------
    logged
        The curve itself; a long one is smoothed in blocks, whose means lie within its ends.
    smooth
        The same, smoothed unless it is free of noise.
    begins_late
        Whether the run was trained before the first value.
    notes
        What it was read from and how it was smoothed.
    """

    logged: Curve
    smooth: SmoothCurve
    begins_late: bool
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> float:
        """Sequences of the first of the smoothed values."""
        return float(self.smooth.sequences[0])

    @property
    def last(self) -> float:
        """Sequences of the last logged value."""
        return float(self.logged.sequences[-1])


def track(curves: Curves, evaluator: str, *, exact: bool) -> Track | None:
    """An evaluator's accuracy, smoothed unless it is exact.

    Parameters
    ----------
    curves
        The run, its values finite (`Curves.finite`).
    evaluator
        Whose accuracy: its `headline_metric`, or ``acc`` where that is missing.
    exact
        Whether the curve is free of noise.

    Returns
    -------
    Track or None
        None where there is no accuracy.
    """
    logged = curves.accuracy(evaluator)
    if logged is None or not len(logged):
        return None
    notes: list[str] = []
    if logged.metric != headline_metric(evaluator):
        notes.append(f"{evaluator}: read from {logged.metric}, there being no in_context_acc")
    smooth = exact_curve(logged) if exact else smooth_curve(logged)
    if not exact:
        points, span = len(smooth.sequences), smooth.smoother.span
        notes.append(f"{evaluator}: smoothed by local quadratics over {span} of {points} points")
    return Track(
        logged=logged,
        smooth=smooth,
        begins_late=bool(logged.sequences[0] > head_start(curves.settings)),
        notes=tuple(notes),
    )
