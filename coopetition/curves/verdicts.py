"""Verdicts: what becomes of in-context learning (ICL) by a horizon, and how probable each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .curve import Curves, one_run
from .landmarks import CROSSED, EMERGED, Landmarks
from .smoothing import track

Array = NDArray[np.float64]
Verdict = Literal["never", "transient", "persistent"]
VERDICTS: tuple[Verdict, ...] = ("persistent", "transient", "never")

RARE = 0.003  # least probability of a verdict that corrections reckon with


def verdict(curves: Curves, horizon: float | None = None, *, exact: bool | None = None) -> Verdict:
    """What becomes of ICL by a horizon.

    ``never``: flip is not ≥ 0.6 anywhere up to the horizon; ``transient``: it was, and is < 0.5 at
    the horizon; ``persistent``: it was, and is ≥ 0.5 there.

    Parameters
    ----------
    curves
        The run, with a flip accuracy.
    horizon
        Training sequences; by default the end of the flip curve, as far as it holds numbers. It
        may lie beyond that by no more than the curve's last interval.
    exact
        As in `landmarks`.

    Raises
    ------
    ValueError
        If there is no flip accuracy, or the horizon lies outside the data.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> verdict(*read_curves("published:main"), horizon=5e6)
    'persistent'
    >>> verdict(*read_curves("published:main"), horizon=2e7)
    'transient'
    """
    curves = one_run(curves)
    exact = "model" in curves.source if exact is None else exact
    flip = track(curves.finite(), "flip", exact=exact)
    if flip is None or len(flip.logged) < 2:
        have = ", ".join(f"{e}/{m}" for e, m in curves.curves) or "no curve"
        raise ValueError(f"run {curves.run} has {have}; a verdict needs 2 points of flip accuracy")
    first, before_last, last = (float(flip.logged.sequences[i]) for i in (0, -2, -1))
    horizon = last if horizon is None else horizon
    if not first <= horizon <= last + (last - before_last):
        raise ValueError(
            f"horizon = {horizon:g}: the flip curve of run {curves.run} covers {first:g} to "
            f"{last:g} sequences; choose a horizon within, or fit and forecast"
        )
    x, values = flip.smooth.sequences, flip.smooth.values
    path = np.append(values[x <= horizon], np.interp(horizon, x, values))
    return VERDICTS[int(verdicts_of_paths(path))]


def verdict_of(marks: Landmarks) -> Verdict:
    """The verdict at the end of the landmarks' curves, which must include flip."""
    return VERDICTS[int(_rule(marks.emergence is not None, marks.final["flip"].value))]


def verdicts_of_paths(flip: Array) -> NDArray[np.intp]:
    """The verdict at the end of each path ``(…, times)`` as an index of `VERDICTS`, ``(…,)``."""
    return _rule(np.any(flip >= EMERGED, axis=-1), flip[..., -1])


def verdict_at_rest(flip: float) -> Verdict:
    """The verdict of a run that comes to rest at a flip accuracy.

    ICL has emerged if flip is ≥ 0.6 there; where it is < 0.5, CIWL has won over what had emerged.

    Examples
    --------
    >>> verdict_at_rest(0.98), verdict_at_rest(0.02), verdict_at_rest(0.5)
    ('persistent', 'transient', 'never')
    """
    return VERDICTS[int(_rule(flip >= EMERGED or flip < CROSSED, flip))]


def _rule(emerged: ArrayLike, flip: ArrayLike) -> NDArray[np.intp]:
    """Indices of `VERDICTS` of runs that emerged or not, with flip at the horizon."""
    return np.where(emerged, np.where(np.asarray(flip) >= CROSSED, 0, 1), 2)


def verdict_probabilities(flip: Array) -> Mapping[str, float]:
    """The share of the paths ``(draws, times)`` with each verdict at their end."""
    verdicts = verdicts_of_paths(flip)
    return {name: float(np.mean(verdicts == i)) for i, name in enumerate(VERDICTS)}


def most_probable(probabilities: Mapping[Verdict, float] | Mapping[str, float]) -> Verdict:
    """The most probable verdict; where several are, ``never`` before the others."""
    in_order: tuple[Verdict, ...] = ("never", "persistent", "transient")
    return max(in_order, key=lambda name: probabilities[name])
