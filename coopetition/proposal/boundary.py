"""Where ICL stops being persistent, over any two settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays
from ..curves.curve import read_only
from ..errors import CoopetitionError
from ..forecasting.settings_map import SettingsMap
from .candidates import plain
from .moves import Move
from .screening import verdict_chances

if TYPE_CHECKING:
    from ..settings.training import TrainingSettings

Array = NDArray[np.float64]

DRAWS = 150


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Boundary(ReadOnlyArrays):
    """Probability of persistent ICL over two settings.

    Parameters
    ----------
    first, second
        The two moves.
    first_values, second_values
        Shapes ``(m,)`` and ``(n,)``.
    persistent
        Probability, shape ``(m, n)``.
    base
        Values of both settings at the base.
    budget
        In sequences.
    """

    first: Move
    second: Move
    first_values: Array
    second_values: Array
    persistent: Array
    base: tuple[float, float]
    budget: float


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
    """Probability of persistent ICL on a grid over two settings, the others as in the base.

    Parameters
    ----------
    base
        Settings by short name, or our trainer's.
    settings_map
        From settings to parameters.
    first, second
        The settings and their ranges.
    budget
        Sequences at which ICL is to be there.
    points
        Grid points of each.
    seed
        Of all randomness; the same for each point, so that the picture is smooth.

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
    start = plain(base)
    shares = np.linspace(0.0, 1.0, points)
    values = [np.unique([move.at(float(share)) for share in shares]) for move in (first, second)]
    points_of = [
        {**start, first.setting: float(one), second.setting: float(other)}
        for one, other in itertools.product(*values)
    ]
    found = verdict_chances(points_of, settings_map, budget=budget, draws=DRAWS, seed=seed)
    chance = []
    for seen in found:
        if isinstance(seen, CoopetitionError):
            raise seen
        chance.append(seen["persistent"])
    return Boundary(
        first=first,
        second=second,
        first_values=read_only(values[0]),
        second_values=read_only(values[1]),
        persistent=read_only(np.reshape(chance, [len(v) for v in values])),
        base=(float(start[first.setting]), float(start[second.setting])),
        budget=float(budget),
    )
