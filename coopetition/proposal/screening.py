"""What becomes of ICL at many settings at once, at the same random numbers.

`coopetition.forecasting.forecast_settings` draws its random numbers from the seed alone. Settings
that share an origin and a pace therefore share the discrepancy's draws, and the trajectories of
many settings fill one batch. The probabilities are those that separate forecasts would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CoopetitionError
from ..fitting.threads import one_blas_thread
from ..forecasting.forecast import LEAST_SHARE, TIMES
from ..forecasting.outcomes import verdict_probabilities
from ..forecasting.paths import unseen, with_discrepancy
from ..forecasting.prior import ParameterPrior
from ..forecasting.theory import Theory
from ..knobs import KnobMap
from ..seeds import stream

Array = NDArray[np.float64]

TOGETHER = 4000  # trajectories in memory at once, some 25 MB


def verdict_chances(
    settings: Sequence[Mapping[str, Any]],
    knob_map: KnobMap,
    *,
    budget: float,
    draws: int,
    seed: int = 0,
    progress: bool = False,
) -> list[Mapping[str, float] | CoopetitionError]:
    """Probability of each verdict at each of the settings.

    Parameters
    ----------
    settings
        By short name, one mapping a candidate.
    knob_map
        From settings to parameters.
    budget
        Sequences at which the verdict is given.
    draws
        Futures of each.
    seed
        Of all randomness, the same for each.
    progress
        Whether to show progress on stderr.

    Returns
    -------
    list
        In the order of the settings; an error where most simulations failed.

    Raises
    ------
    ValueError
        If a run begins at the budget or later.

    Examples
    --------
    >>> from coopetition.knobs import default_map
    >>> from coopetition.logs import read_curves
    >>> base = dict(read_curves("published:main")[0].settings)
    >>> both = [{**base, "match_probability": share} for share in (0.0, 1.0)]
    >>> found = verdict_chances(both, default_map(), budget=2e7, draws=200)
    >>> found[0]["persistent"] < 0.5 < found[1]["persistent"]
    True
    """
    from tqdm.auto import tqdm

    with one_blas_thread():
        priors = [knob_map.predict(one) for one in settings]
        for prior in priors:
            if not budget > prior.origin:
                raise ValueError(
                    f"budget = {budget:,.0f}: a run with a head start of {prior.origin:,.0f} "
                    "sequences needs more"
                )
        chances: dict[int, Mapping[str, float] | CoopetitionError] = {}
        bar = tqdm(total=len(priors), desc="candidates", leave=False, disable=not progress)
        with bar:
            for members in _batches(priors, max(1, TOGETHER // draws)):
                group = [priors[i] for i in members]
                flips = _flips(knob_map, group, budget, draws, seed)
                chances |= {i: _verdicts(y, budget) for i, y in zip(members, flips, strict=True)}
                bar.update(len(members))
    return [chances[i] for i in range(len(priors))]


def _batches(priors: Sequence[ParameterPrior], most: int) -> Iterator[list[int]]:
    """Indices of priors of one origin and pace, at most so many at a time."""
    alike: dict[tuple[float, float], list[int]] = {}
    for i, prior in enumerate(priors):
        alike.setdefault((prior.origin, prior.pace), []).append(i)
    for members in alike.values():
        for first in range(0, len(members), most):
            yield members[first : first + most]


def _flips(
    knob_map: KnobMap, group: Sequence[ParameterPrior], budget: float, draws: int, seed: int
) -> Array:
    """Possible flip accuracies of settings of one origin and pace, ``(settings, draws, times)``.

    NaN where a simulation failed.
    """
    theory: Theory = knob_map.the_theory()
    grid = np.linspace(0.0, budget - group[0].origin, TIMES + 1)[1:]
    rngs = [stream(seed, "forecast") for _ in group]
    thetas = [prior.sample(draws, rng) for prior, rng in zip(group, rngs, strict=True)]
    curves = theory.curves(np.concatenate(thetas), grid)
    missed = unseen(tuple(curves), draws, grid, knob_map.discrepancy, rngs[0], pace=group[0].pace)[
        "flip"
    ]
    whole = np.all([np.all(np.isfinite(y), axis=1) for y in curves.values()], axis=0)
    flip = curves["flip"].reshape(len(group), draws, len(grid))
    flip = with_discrepancy(knob_map.discrepancy, "flip", flip, missed)
    flip[~whole.reshape(len(group), draws)] = np.nan
    return flip


def _verdicts(flip: Array, budget: float) -> Mapping[str, float] | CoopetitionError:
    """Of the futures of one setting, ``(draws, times)``."""
    whole = np.isfinite(flip[:, -1])
    if np.mean(whole) < LEAST_SHARE:
        return CoopetitionError(
            f"{100 * (1 - np.mean(whole)):.0f} % of the simulations of a candidate failed before "
            f"{budget:,.0f} sequences; keep its settings (learning rate, batch size) nearer to "
            "the base's, or shorten the budget"
        )
    return verdict_probabilities(flip[whole])
