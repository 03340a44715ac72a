"""What becomes of ICL at many settings at once, at the same random numbers.

The probabilities are those that separate forecasts of the same draws would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves.verdicts import verdict_probabilities
from ..errors import CoopetitionError
from ..fitting.multistart import one_blas_thread
from ..forecasting.paths import flip_path_batches
from ..forecasting.prior import ParameterPrior
from ..forecasting.reweighting import LEAST_SHARE
from ..forecasting.settings_map import SettingsMap

Array = NDArray[np.float64]


def verdict_chances(
    settings: Sequence[Mapping[str, Any]],
    settings_map: SettingsMap,
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
    settings_map
        From settings to parameters, and to the odds of the verdicts.
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
    >>> from coopetition.forecasting.settings_map import default_map
    >>> from coopetition.logs import read_curves
    >>> base = dict(read_curves("published:main")[0].settings)
    >>> both = [{**base, "match_probability": share} for share in (0.0, 1.0)]
    >>> found = verdict_chances(both, default_map(), budget=2e7, draws=200)
    >>> found[0]["persistent"] < 0.5 < found[1]["persistent"]
    True
    """
    from tqdm.auto import tqdm

    with one_blas_thread():
        priors = [settings_map.predict(one) for one in settings]
        require_begun(priors, budget)
        chances: dict[int, Mapping[str, float] | CoopetitionError] = {}
        bar = tqdm(total=len(priors), desc="candidates", leave=False, disable=not progress)
        with bar:
            for members, flips in flip_path_batches(
                settings_map.the_theory(), settings_map.discrepancy, priors,
                horizon=budget, draws=draws, seed=seed,
            ):  # fmt: skip
                for i, flip in zip(members, flips, strict=True):
                    chances[i] = _verdicts(settings[i], settings_map, flip, budget)
                bar.update(len(members))
    return [chances[i] for i in range(len(priors))]


def require_begun(priors: Sequence[ParameterPrior], budget: float) -> None:
    """Refuse a budget at which a run has not begun yet.

    Raises
    ------
    ValueError
        Where a head start is as long as the budget.
    """
    for prior in priors:
        if not budget > prior.origin:
            raise ValueError(
                f"budget = {budget:,.0f}: a run with a head start of {prior.origin:,.0f} "
                "sequences needs more"
            )


def _verdicts(
    settings: Mapping[str, Any], settings_map: SettingsMap, flip: Array, budget: float
) -> Mapping[str, float] | CoopetitionError:
    """Of the futures of one setting, ``(draws, times)``."""
    whole = np.isfinite(flip[:, -1])
    if np.mean(whole) < LEAST_SHARE:
        return CoopetitionError(
            f"{100 * (1 - np.mean(whole)):.0f} % of the simulations of a candidate failed before "
            f"{budget:,.0f} sequences; keep its settings (learning rate, batch size) nearer to "
            "the base's, or shorten the budget"
        )
    return settings_map.odds_at(settings, verdict_probabilities(flip[whole]), horizon=budget)
