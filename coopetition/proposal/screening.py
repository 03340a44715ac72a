"""Verdict probabilities at many settings at once, all with the same random numbers.

They equal those of separate forecasts with the same draws.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, ReadOnlyArrays
from ..curves.verdicts import verdict_probabilities
from ..errors import CoopetitionError
from ..fitting.multistart import one_blas_thread
from ..forecasting.paths import flip_path_batches
from ..forecasting.prior import ParameterPrior
from ..forecasting.reweighting import LEAST_SHARE
from ..forecasting.settings_map import SettingsMap
from ..settings.training import TrainingSettings
from .base import base_settings
from .moves import Move

BOUNDARY_DRAWS = 150


def verdict_chances(
    settings: Sequence[Mapping[str, Any]],
    settings_map: SettingsMap,
    *,
    budget: float,
    draws: int,
    seed: int = 0,
    progress: bool = False,
) -> list[Mapping[str, float] | CoopetitionError]:
    """Verdict probabilities at each settings; an error where most simulations failed."""
    from tqdm.auto import tqdm

    with one_blas_thread():
        priors = [settings_map.predict(one) for one in settings]
        require_begun(priors, budget)
        chances: dict[int, Mapping[str, float] | CoopetitionError] = {}
        batches = flip_path_batches(
            settings_map.the_theory(), settings_map.discrepancy, priors,
            horizon=budget, draws=draws, seed=seed,
        )  # fmt: skip
        with tqdm(total=len(priors), desc="candidates", leave=False, disable=not progress) as bar:
            for members, flips in batches:
                for i, flip in zip(members, flips, strict=True):
                    chances[i] = _verdicts(settings[i], settings_map, flip, budget)
                bar.update(len(members))
    return [chances[i] for i in range(len(priors))]


def require_begun(priors: Sequence[ParameterPrior], budget: float) -> None:
    """Refuse a budget that does not exceed a run's head start."""
    for prior in priors:
        if not budget > prior.origin:
            raise ValueError(
                f"budget = {budget:,.0f}: give more than the head start of {prior.origin:,.0f} "
                "sequences"
            )


def _verdicts(
    settings: Mapping[str, Any], settings_map: SettingsMap, flip: Array, budget: float
) -> Mapping[str, float] | CoopetitionError:
    """Verdict probabilities from predicted flip ``(draws, times)``."""
    complete = np.isfinite(flip[:, -1])
    share = np.mean(complete)
    if share < LEAST_SHARE:
        return CoopetitionError(
            f"{100 * (1 - share):.0f} % of the simulations of a candidate failed before "
            f"{budget:,.0f} sequences; keep its settings (learning rate, batch size) nearer to "
            "the base's, or lower the budget"
        )
    return settings_map.corrected(settings, verdict_probabilities(flip[complete]), horizon=budget)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Boundary(ReadOnlyArrays):
    """Probability of persistent ICL over two settings."""

    first: Move
    second: Move
    first_values: Array  # of the first setting, (m,)
    second_values: Array  # of the second setting, (n,)
    persistent: Array  # probability, (m, n)
    base: tuple[float, float]  # the base's values of the two settings
    budget: float  # in sequences


def boundary(
    base: Mapping[str, Any] | TrainingSettings,
    settings_map: SettingsMap,
    first: Move,
    second: Move,
    *,
    budget: float,
    points: int = 13,
    seed: int = 0,
) -> Boundary:
    """Map the probability of persistent ICL over two settings; the others stay as in the base.

    Parameters
    ----------
    base
        Settings by short name, or our trainer's.
    settings_map
        From settings to parameters.
    first, second
        The settings and their ranges.
    budget
        Sequences at which ICL should persist.
    points
        Grid points of each.
    seed
        Of all random numbers; they are the same at each point, so that the map is smooth.

    Raises
    ------
    ValueError
        If both are the same setting, or there are fewer than two points.
    CoopetitionError
        If most simulations of a point failed.
    """
    if first.setting == second.setting:
        raise ValueError(f"both settings are {first.setting}: give two different ones")
    if points < 2:
        raise ValueError(f"points = {points}: a picture needs at least 2")
    start = base_settings(base)
    shares = np.linspace(0.0, 1.0, points)
    x, y = (np.unique([move.at(float(share)) for share in shares]) for move in (first, second))
    grid = [
        {**start, first.setting: one, second.setting: other}
        for one, other in itertools.product(x.tolist(), y.tolist())
    ]
    every = verdict_chances(grid, settings_map, budget=budget, draws=BOUNDARY_DRAWS, seed=seed)
    persistent = []
    for chances in every:
        if isinstance(chances, CoopetitionError):
            raise chances
        persistent.append(chances["persistent"])
    return Boundary(
        first=first,
        second=second,
        first_values=x,
        second_values=y,
        persistent=np.reshape(persistent, (len(x), len(y))),
        base=(float(start[first.setting]), float(start[second.setting])),
        budget=float(budget),
    )
