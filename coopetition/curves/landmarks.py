"""Landmarks of a run: when in-context learning (ICL) emerges, peaks, crosses over and vanishes.

All are read off the ``flip`` and ``icl`` accuracies, here and nowhere else. Curves of a model are
taken as they are. Measured ones are smoothed first, and their landmarks get intervals by a
parametric bootstrap: a replicate is the smooth curve with its noise added once more, which scatters
about the estimate as the estimate does about the truth.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..seeds import stream
from .crossings import first_fall, first_rise, top
from .curve import Curve, Curves, one_run
from .smoothing import SmoothCurve, smooth_curve, track

Array = NDArray[np.float64]
Bounds = tuple[float | None, float | None]

EMERGED = 0.6  # flip accuracy from which ICL has emerged
CROSSED = 0.5  # flip accuracy below which CIWL answers more often
CHANCE = 0.5  # icl accuracy of guessing
MARGIN = 0.05  # icl accuracy above chance below which ICL has vanished
PLATEAU = 1.0 + 2.0**0.5  # bias of the highest of many equal points, in units of the replicates'
NAMES = ("emergence", "peak", "peak_flip", "crossover", "vanishing")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Landmark:
    """A value and the interval it lies in.

    Parameters
    ----------
    value
        The estimate.
    lower, upper
        Bounds of the interval; None where the data give none, or the curve has no noise.
    """

    value: float
    lower: float | None = None
    upper: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Landmarks:
    """The landmarks of one run; None where there is none within the data.

    Parameters
    ----------
    run
        The run's name.
    emergence
        Sequences at which flip is first ≥ 0.6.
    peak, peak_flip
        Sequences at which flip is highest, and how high.
    crossover
        Sequences at which flip falls through 0.5 after emergence.
    vanishing
        Sequences at which icl falls to within 0.05 of chance after emergence.
    final
        Last value of every curve: by evaluator for its accuracy, by ``evaluator/metric`` else.
    horizon
        Last sequences of the logged flip curve; landmarks beyond are unknown.
    level
        Coverage of the intervals, between 0 and 1.
    notes
        Those of the curves, how these were smoothed and what was missing.
    """

    run: str
    emergence: Landmark | None
    peak: Landmark | None
    peak_flip: Landmark | None
    crossover: Landmark | None
    vanishing: Landmark | None
    final: Mapping[str, Landmark]
    horizon: float
    level: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: values by name, null where none; ``intervals``; ``final``."""
        marks = {name: getattr(self, name) for name in NAMES}
        return {
            **{name: mark and mark.value for name, mark in marks.items()},
            "intervals": {name: mark and [mark.lower, mark.upper] for name, mark in marks.items()},
            "final": {name: mark.value for name, mark in self.final.items()},
            "horizon": self.horizon,
        }

    def summary(self, *, unit: str = "sequences") -> str:
        """One line a landmark; of the final values, accuracies and losses."""
        lines = [f"{name:<10} {_words(getattr(self, name), name == 'peak_flip')}" for name in NAMES]
        lines += [
            f"final {name:<10} {_words(mark, True)}"
            for name, mark in self.final.items()
            if "/" not in name or name.endswith("/loss")
        ]
        return "\n".join([f"{self.run} (to {self.horizon:,.0f} {unit})", *lines])


def landmarks(
    curves: Curves,
    *,
    exact: bool | None = None,
    chance: float = CHANCE,
    level: float = 0.9,
    replicates: int = 200,
    rng: np.random.Generator | None = None,
) -> Landmarks:
    """Find the landmarks of a run.

    Curves are linear between their points, and a parabola through three at the peak; values that
    are no numbers are left out. Measured curves are smoothed first (`coopetition.curves.smoothing`)
    and their noise is drawn ``replicates`` times more; intervals are the central ``level`` of the
    replicates' landmarks. A replicate without the landmark counts as one beyond the data, so a
    bound may be missing; so is the lower one where the log begins too late to show it. Noise raises
    a maximum: the peak's height is lowered by the bias that the replicates show.

    Parameters
    ----------
    curves
        The run. Accuracies are ``in_context_acc``, or ``acc`` where that is missing.
    exact
        Whether the curves are free of noise; by default, whether a model made them.
    chance
        Accuracy of guessing on the icl evaluator.
    level
        Coverage of the intervals, between 0 and 1.
    replicates
        How many times the noise of measured curves is drawn anew.
    rng
        Where the noise of the replicates comes from; by default always the same.

    Raises
    ------
    ValueError
        If ``level`` or ``replicates`` is out of range.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> (main,) = read_curves("published:main")
    >>> round(landmarks(main).crossover.value / 1e6, 1)
    6.3
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must lie between 0 and 1, such as 0.9")
    if replicates < 20:
        raise ValueError(f"replicates = {replicates}: an interval needs at least 20")
    curves = one_run(curves)
    exact = "model" in curves.source if exact is None else exact
    curves = curves.finite()
    flip, icl = (track(curves, name, exact=exact) for name in ("flip", "icl"))
    notes = list(curves.notes)
    for name, accuracy in (("flip", flip), ("icl", icl)):
        notes += (
            accuracy.notes if accuracy else [f"no {name} accuracy, so no landmark that needs it"]
        )
    marks: dict[str, Landmark | None] = dict.fromkeys(NAMES)
    if flip is not None:
        noise = None if exact else rng or stream(0, "landmarks")
        values, intervals = _estimates(
            flip.smooth, icl.smooth if icl else None, chance, level, replicates, noise
        )
        if flip.begins_late:
            first = float(flip.smooth.sequences[0])
            for name, state in (("emergence", f"at least {EMERGED}"), ("peak", "highest")):
                lower, upper = intervals[name]
                if lower is not None and lower <= first:  # it may have come before the log
                    intervals[name] = (None, upper)
                if values[name] == first:
                    notes.append(f"{name}: flip is {state} where the log begins, at {first:,.0f}")
            if values["peak"] == first:  # it may have been higher
                intervals["peak_flip"] = (intervals["peak_flip"][0], None)
        marks |= {name: _landmark(value, *intervals[name]) for name, value in values.items()}
    return Landmarks(
        run=curves.run,
        **marks,
        final={c.label: _final(c, exact, level) for c in curves if len(c)},
        horizon=curves.last_sequence if flip is None else float(flip.logged.sequences[-1]),
        level=level,
        notes=tuple(notes),
    )


def landmarks_of_paths(
    x: Array,
    flip: Array,
    icl: Array | None = None,
    *,
    icl_x: Array | None = None,
    chance: float = CHANCE,
    smooth: bool = False,
) -> dict[str, Array]:
    """The landmarks of each path as `Landmarks` defines them, inf where there is none.

    ``flip`` and ``icl`` are ``(draws, times)``, at ``x`` ``(times,)``, icl at ``icl_x`` if given;
    the result holds ``(draws,)`` by name, without ``vanishing`` where icl is missing. The peak is
    the highest point or, on ``smooth`` paths, the top of the parabola through it.

    Examples
    --------
    >>> marks = landmarks_of_paths(np.array([0.0, 10.0, 20.0]), np.array([[0.5, 0.7, 0.3]]))
    >>> float(marks["emergence"][0]), float(marks["crossover"][0])
    (5.0, 15.0)
    """
    emergence = first_rise(x, flip, EMERGED)
    peak, peak_flip = top(x, flip) if smooth else (x[np.argmax(flip, -1)], np.max(flip, -1))
    marks = {
        "emergence": emergence,
        "peak": peak,
        "peak_flip": peak_flip,
        "crossover": first_fall(x, flip, CROSSED, after=emergence),
    }
    if icl is not None:
        level, icl_x = chance + MARGIN, x if icl_x is None else icl_x
        marks["vanishing"] = first_fall(icl_x, icl, level, after=emergence)
    return marks


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkForecast:
    """A forecast of a landmark: whether it comes, and when.

    Parameters
    ----------
    probability
        That it comes by the horizon.
    median, lower, upper
        Quantiles in sequences (a flip accuracy for ``peak_flip``); None beyond the horizon, where
        paths without the landmark are counted.
    """

    probability: float
    median: float | None
    lower: float | None
    upper: float | None


def central_interval(values: Array, level: float) -> Bounds:
    """The interval of the central ``level`` of the values; a bound at inf is None.

    Examples
    --------
    >>> central_interval(np.array([1.0, 2.0, 3.0, np.inf, np.inf]), 0.6)
    (1.0, None)
    """
    return quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)


def quantile(values: Array, share: float) -> float | None:
    """The value that this share of the values does not exceed; None where it is inf."""
    value = float(np.quantile(values, share, method="closest_observation"))
    return value if np.isfinite(value) else None


def distribution(values: Array, level: float) -> LandmarkForecast:
    """The distribution of a landmark from its draws, inf where it does not come."""
    lower, upper = central_interval(values, level)
    probability = float(np.mean(np.isfinite(values)))
    median = quantile(values, 0.5)
    return LandmarkForecast(probability=probability, median=median, lower=lower, upper=upper)


def _estimates(
    flip: SmoothCurve,
    icl: SmoothCurve | None,
    chance: float,
    level: float,
    replicates: int,
    noise: np.random.Generator | None,
) -> tuple[dict[str, float], dict[str, Bounds]]:
    """Landmarks by name, inf where there is none, and their intervals if the curves are noisy."""
    icls, flips = [] if icl is None else [icl.values], [flip.values]
    if noise is not None:
        for _ in range(replicates):
            if icl is not None:
                icls.append(icl.replicate(noise))
            flips.append(flip.replicate(noise))
    marks = landmarks_of_paths(
        flip.sequences,
        np.array(flips),
        np.array(icls) if icls else None,
        icl_x=None if icl is None else icl.sequences,
        chance=chance,
        smooth=True,
    )
    values = {name: float(each[0]) for name, each in marks.items()}
    if noise is None:
        return values, dict.fromkeys(values, (None, None))
    intervals = {name: central_interval(each[1:], level) for name, each in marks.items()}
    heights = _height(values["peak_flip"], marks["peak_flip"][1:], level)
    values["peak_flip"], lower, upper = flip.within(np.array(heights)).tolist()
    return values, {**intervals, "peak_flip": (lower, upper)}


def _height(estimate: float, values: Array, level: float) -> tuple[float, float, float]:
    """A curve's greatest height and its bounds, from its estimate and its replicates'.

    Noise raises a maximum: the estimate e lies above the truth, and the replicates' heights above
    e. With b their mean excess over e and q₁, q₂ their central interval, the height is e − b in
    [2e − q₂ − √2 b, 2e − q₁]. At a sharp peak the bias goes with the noise's variance, which a
    replicate doubles, and is b; among many equal points it goes with the standard deviation, and is
    (1 + √2) b, for which the lower bound leaves room. (The basic interval of Davison & Hinkley
    1997, Bootstrap Methods and their Application, section 5.2.)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    bias = max(float(np.mean(values)) - estimate, 0.0)
    height = estimate - bias
    lower = 2 * estimate - float(high) - (PLATEAU - 1) * bias
    upper = 2 * estimate - float(low)
    return height, min(lower, height), max(upper, height)


def _landmark(value: float, lower: float | None, upper: float | None) -> Landmark | None:
    """The landmark if there is one, its interval reaching at least to the estimate."""
    if not np.isfinite(value):
        return None
    lower = None if lower is None else min(lower, value)
    upper = None if upper is None else max(upper, value)
    return Landmark(value=value, lower=lower, upper=upper)


def _final(curve: Curve, exact: bool, level: float) -> Landmark:
    """The last value, with a normal interval where the curve was measured."""
    if exact:
        return Landmark(value=float(curve.values[-1]))
    smooth = smooth_curve(curve)
    reach = statistics.NormalDist().inv_cdf((1 + level) / 2) * smooth.error[-1]
    bounds = smooth.within(smooth.values[-1] + np.array([-reach, reach]))
    return Landmark(value=float(smooth.values[-1]), lower=float(bounds[0]), upper=float(bounds[1]))


def _words(mark: Landmark | None, fraction: bool) -> str:
    if mark is None:
        return "none"

    def word(value: float | None) -> str:
        return "?" if value is None else f"{value:.3f}" if fraction else f"{value:,.0f}"

    bounds = (mark.lower, mark.upper)
    interval = "" if bounds == (None, None) else f" [{word(bounds[0])}, {word(bounds[1])}]"
    return word(mark.value) + interval
