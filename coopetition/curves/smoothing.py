"""Smooth curves behind noisy ones, and how noisy they are.

The smoother is a local quadratic regression with tricube weights over a window of neighbouring
points. The window is one step narrower than the one that predicts left-out points best: then more
noise is left than bias at peaks and flanks, so intervals made from the noise alone cover the truth.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from .curve import ACCURACIES, PROBABILITIES, Curve, Curves, head_start, headline_metric

Array = NDArray[np.float64]

SPANS = (5, 7, 9, 13, 19, 27, 39, 55, 77, 101)
MOST_POINTS = 2000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Smoother:
    """A linear smoother: value i becomes ``Σ_j weights[i, j] values[window[i, j]]``."""

    window: NDArray[np.intp]  # each point's neighbours, (points, span)
    weights: Array  # theirs, (points, span); each row sums to 1

    @property
    def span(self) -> int:
        """Neighbours that go into one value; 1 without smoothing."""
        return int(self.window.shape[1])

    @property
    def own_weights(self) -> Array:
        """How much each value counts in its own smoothed value, shape ``(points,)``."""
        own = self.window == np.arange(len(self.window))[:, None]
        return np.asarray(np.sum(self.weights * own, axis=1))

    def __call__(self, values: Array) -> Array:
        """The smoothed values, shape ``(points,)``."""
        return np.asarray(np.einsum("ij,ij->i", self.weights, values[self.window]))


def local_quadratic(sequences: Array, span: int) -> Smoother:
    """The local quadratic smoother over ``span`` points, at least 4 (or 1: no smoothing).

    Around each point x the quadratic that minimises ``Σ_j w_j (v_j − q(x_j))²`` is taken at x, with
    ``w_j = (1 − |x_j − x|³/h³)³`` and h just beyond the window's furthest point. At the ends the
    window is the outermost ``span`` points. (Cleveland 1979, Robust locally weighted regression.)
    """
    points = len(sequences)
    if span == 1:
        return Smoother(window=np.arange(points)[:, None], weights=np.ones((points, 1)))
    if not 4 <= span <= points:
        raise ValueError(f"span = {span}: must be 1, or at least 4 and at most {points} points")
    first = np.clip(np.arange(points) - span // 2, 0, points - span)
    window = first[:, None] + np.arange(span)
    distance = sequences[window] - sequences[:, None]
    scaled = distance / (np.abs(distance).max(axis=1, keepdims=True) * (1 + 1 / span))
    kernel = (1 - np.abs(scaled) ** 3) ** 3
    powers = np.stack([np.ones_like(scaled), scaled, scaled**2], axis=1)  # (points, 3, span)
    weighted = powers * kernel[:, None, :]
    normal = weighted @ powers.transpose(0, 2, 1)  # (points, 3, 3)
    # the fitted quadratic at the point itself is its constant term
    return Smoother(window=window, weights=np.linalg.solve(normal, weighted)[:, 0, :])


def narrow_smoother(sequences: Array, values: Array) -> Smoother:
    """The local quadratic one step narrower than the one that predicts left-out points best.

    That one has the least ``mean(((v − v̂)/(1 − h))²)``, h being a value's own weight. Below 6
    points nothing can be left out and the values stay as they are.
    """
    if len(values) < 6:
        return local_quadratic(sequences, 1)
    spans = [span for span in SPANS if span <= max(SPANS[0], len(values) // 2)]

    def error(smoother: Smoother) -> float:
        left_out = (values - smoother(values)) / np.maximum(1 - smoother.own_weights, 1e-9)
        return float(np.mean(left_out**2))

    best = min(spans, key=lambda span: error(local_quadratic(sequences, span)))
    return local_quadratic(sequences, spans[max(spans.index(best) - 1, 0)])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SmoothCurve:
    """A measured curve as smooth values and two kinds of noise; arrays of shape ``(points,)``.

    Every point is measured on the same sequences, so the error of a value has two parts, given by
    their standard deviations: ``jitter`` changes from point to point and is estimated from the
    residuals; ``shift`` moves the whole curve and is the rest of the standard error.
    """

    sequences: Array
    values: Array
    jitter: Array
    shift: Array
    smoother: Smoother  # what made the values
    bounded: bool  # whether values lie in [0, 1]

    def within(self, values: Array) -> Array:
        """The values, cut to [0, 1] where the metric is a fraction."""
        return np.clip(values, 0.0, 1.0) if self.bounded else values

    @property
    def error(self) -> Array:
        """Standard deviation of the smoothed values, both parts together."""
        window, weights = self.smoother.window, self.smoother.weights
        jitter = np.sum((weights * self.jitter[window]) ** 2, axis=1)
        return np.asarray(np.sqrt(jitter + self.shift**2))

    def replicate(self, rng: np.random.Generator) -> Array:
        """The smoothed values of another measurement of the same curve."""
        # only the noise is smoothed: a second pass would flatten the values
        noise = self.smoother(self.jitter * rng.standard_normal(len(self.values)))
        return self.within(self.values + noise + self.shift * rng.standard_normal())


def exact_curve(curve: Curve) -> SmoothCurve:
    """A curve without noise, as a model makes it."""
    zeros = np.zeros(len(curve))
    return SmoothCurve(
        sequences=curve.sequences,
        values=curve.values,
        jitter=zeros,
        shift=zeros,
        smoother=local_quadratic(curve.sequences, 1),
        bounded=curve.metric in ACCURACIES + PROBABILITIES,
    )


def smooth_curve(curve: Curve) -> SmoothCurve:
    """A measured curve, smoothed, with its noise.

    Beyond 2,000 points neighbours are averaged first. Residuals r give the jitter's variance as
    ``s² v`` with ``s² = mean(r²/(1 − 2h + Σw²)/v)``; v is the squared standard error or, where none
    is known, p(1 − p) of an accuracy and 1 of anything else.
    """
    bounded = curve.metric in ACCURACIES + PROBABILITIES
    sequences, values, sem = _thinned(curve)
    smoother = narrow_smoother(sequences, values)
    smooth = smoother(values)
    if bounded:
        smooth = np.clip(smooth, 0.0, 1.0)
    if sem is not None:
        variance = sem**2
    elif bounded:
        variance = np.maximum(smooth * (1 - smooth), 0.01)
    else:
        variance = np.ones(len(values))
    if smoother.span > 1:
        freedom = 1 - 2 * smoother.own_weights + np.sum(smoother.weights**2, axis=1)
        scale = float(np.mean((values - smooth) ** 2 / np.maximum(freedom, 1e-9) / variance))
    else:  # no residuals to tell
        scale = 1.0 if sem is not None else 0.0
    remainder = max(1 - scale, 0.0) if sem is not None else 0.0
    return SmoothCurve(
        sequences=sequences,
        values=smooth,
        jitter=np.sqrt(scale * variance),
        shift=np.sqrt(remainder * variance),
        smoother=smoother,
        bounded=bounded,
    )


def _thinned(curve: Curve) -> tuple[Array, Array, Array | None]:
    """Sequences, values and errors, neighbours averaged so that at most 2,000 points are left."""
    sem = _standard_errors(curve)
    block = -(-len(curve) // MOST_POINTS)
    if block == 1:
        return curve.sequences, curve.values, sem
    starts = np.arange(0, len(curve), block)
    counts = np.diff(np.append(starts, len(curve)))
    sequences = np.add.reduceat(curve.sequences, starts) / counts
    values = np.add.reduceat(curve.values, starts) / counts
    if sem is not None:  # not divided by √counts: the evaluation sequences are the same
        sem = np.add.reduceat(sem, starts) / counts
    return sequences, values, sem


def _standard_errors(curve: Curve) -> Array | None:
    """The standard errors with none of them 0, or None where nothing is known.

    An accuracy of exactly 0 or 1 on n sequences has a sample error of 0 but not a true one: the
    binomial error at (successes + 1)/(n + 2) replaces it. An unknown n is taken from the other
    errors, and then only errors below a tenth of the typical one are replaced.
    """
    sem = curve.sem
    if sem is None or not np.any(np.isfinite(sem) & (sem > 0)):
        return None
    typical = float(np.median(sem[np.isfinite(sem) & (sem > 0)]))
    errors = np.where(np.isfinite(sem), sem, typical)
    if curve.metric in ACCURACIES:
        counts = np.full(len(curve), np.nan) if curve.n is None else curve.n
        has_n = np.isfinite(counts) & (counts > 0)
        n = np.where(has_n, counts, _implied_count(curve.values, sem))
        with np.errstate(invalid="ignore"):  # 0 · inf, where n is unknown
            inside = np.where(np.isfinite(n), (curve.values * n + 1) / (n + 2), curve.values)
        binomial = np.sqrt(inside * (1 - inside) / n)
        errors = np.where(has_n | (errors < typical / 10), np.maximum(errors, binomial), errors)
    return np.maximum(errors, typical / 100)


def _implied_count(values: Array, sem: Array) -> float:
    """The median n for which the accuracies' errors are binomial; inf if no point tells."""
    inner = np.isfinite(sem) & (sem > 0) & (values > 0) & (values < 1)
    if not np.any(inner):
        return float("inf")
    return float(np.median(values[inner] * (1 - values[inner]) / sem[inner] ** 2))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """An evaluator's accuracy as it was logged, and smoothed unless it is free of noise."""

    logged: Curve
    smooth: SmoothCurve  # a long one in blocks, whose means lie within the logged curve's ends
    begins_late: bool  # whether the run was trained before the first value
    notes: tuple[str, ...]  # what it was read from and how it was smoothed


def track(curves: Curves, evaluator: str, *, exact: bool) -> Track | None:
    """An evaluator's accuracy in a run of finite values, smoothed unless exact; None if absent."""
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
