"""Calibrate a map: several runs fitted together, with a common law of how settings move parameters.

Empirical Bayes by expectation–maximisation. In turn: each run's θ is fitted to its log with the
map's present prediction as prior (least squares, exact derivatives); the effects follow by
regression (`coopetition.forecasting.settings_map.regression`); the deviations' variances follow
from what is left, shrunk towards a first guess, because few runs differ in their seed only.

References: Lindstrom & Bates 1990, Biometrics 46:673; Efron & Morris 1973, J. Am. Stat. Assoc.
68:117.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...curves.curve import Curves, runs_in
from ...curves.runs import distinct
from ...dynamics.model import Model
from ...errors import LogError
from ...files import provenance
from ...fitting.multistart import one_blas_thread
from ...seeds import stream
from ...settings.covariates import covariates, data_kind, head_start, time_scale_of, unusable
from ..discrepancy import Discrepancy
from ..observations import Observations, observations
from ..theories.theory import Theory, parameter_names
from ..theories.toy_model import as_theory, toy_theory
from .cross_validation import with_verdicts
from .effects import current_priors
from .priors import Priors
from .regression import expected_deviations
from .run_fit import informed, optimum_of, screened
from .run_information import RunInformation
from .settings_map import GUESS_WEIGHT, SettingsMap

Array = NDArray[np.float64]

POINTS = 56  # most values kept of a curve
ROUNDS = 14
FIRST_EVALUATIONS, EVALUATIONS = 25, 8
REACH = 2.5  # of the first belief's deviations within which a run's θ is looked for
DAMPING = 0.6  # of the effects' change a round: undamped they swing
FAILED = "the theory cannot be simulated where it fits the log best"


def calibrate(
    runs: Curves | Iterable[Curves],
    *,
    theory: Theory | Model | str = "coopetition",
    until: float | None = None,
    points: int = POINTS,
    discrepancy: Discrepancy | None = None,
    priors: Priors | None = None,
    first: Mapping[str, Array] | None = None,
    verdicts: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> SettingsMap:
    """Calibrate a map on runs.

    Parameters
    ----------
    runs
        Logs with their settings. Each log counts once; another run of the same name gets a number.
    theory
        A theory, or a toy model or its name.
    until
        Sequences of a log that are used, at the base's time scale (other runs in proportion to
        theirs); the whole log when None.
    points
        Most values kept of a curve.
    discrepancy
        The random function between theory and curves.
    priors
        What is believed of parameters and effects beforehand; `current_priors` when None.
    first
        Where to start a run's θ by its name, for runs calibrated before; saves the screening.
    verdicts
        Whether to learn the verdicts' odds from the runs too
        (`coopetition.forecasting.settings_map.verdict_odds`).
    seed
        Of the draws that are screened.
    progress
        Whether to show progress on stderr.

    Returns
    -------
    SettingsMap
        Runs it could not use are named in `SettingsMap.excluded`; what the runs cannot teach,
        because they differ in nothing, in `SettingsMap.warnings` and under ``warnings`` in its
        provenance.

    Raises
    ------
    LogError
        If no run can be used, or two that no file holds have the same name.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> found = calibrate(read_curves("published:mq"), points=12)
    >>> found.runs[0].run
    'mq'
    """
    theory = as_theory(theory)
    chosen = toy_theory(theory) if isinstance(theory, str) else theory
    form, believed = discrepancy or Discrepancy(), priors or current_priors(chosen)
    given = distinct(runs_in(runs))
    members, logs, excluded = members_of(given, chosen, form, until, points)
    knobs = SettingsMap(
        theory=chosen.name,
        parameters=parameter_names(chosen),
        deviation=np.array([(1.5 * p.seed_spread) ** 2 for p in believed.parameters]),
        runs=tuple(members),
        excluded=excluded,
        discrepancy=form,
        priors=believed,
        provenance=provenance(
            "calibrate",
            {"until": until, "points": points, "theory": chosen.name},
            seed=seed,
            sources=[curves.source for curves in given],
        ),
        declared=None if isinstance(theory, str) else theory,
    )
    with one_blas_thread():
        knobs = _fitted_together(knobs, chosen, logs, first, stream(seed, "calibration"), progress)
    failed = {run.run: FAILED for run in knobs.runs if not run.information.any()}
    kept = tuple(run for run in knobs.runs if run.run not in failed)
    knobs = dataclasses.replace(knobs, runs=kept, excluded={**excluded, **failed})
    said = {**knobs.provenance, "warnings": list(knobs.warnings)}
    knobs = dataclasses.replace(knobs, provenance=said)
    if not verdicts:
        return knobs
    named = {curves.run: curves for curves in given}
    judged = {run.run: named[run.run] for run in kept}
    return with_verdicts(knobs, judged, seed=seed, progress=progress)


def _fitted_together(
    knobs: SettingsMap,
    chosen: Theory,
    logs: Sequence[Observations],
    first: Mapping[str, Array] | None,
    rng: np.random.Generator,
    progress: bool,
) -> SettingsMap:
    """The map with its runs' information and deviations, by turns."""
    guess = np.array([p.seed_spread**2 for p in knobs.priors.parameters])
    # what no log determines would otherwise spread further with every round
    most = np.array([p.setting_spread**2 for p in knobs.priors.parameters])
    designs = np.array([knobs.design(run.settings, run.kind) for run in knobs.runs])
    mean = knobs.prior.mean.copy()
    for turn in _shown(range(ROUNDS), progress):
        found = []
        for member, log, z in zip(knobs.runs, logs, designs, strict=True):
            omega = np.diag(1.0 / knobs.deviation)
            wide = guess + knobs.prior.spread**2 @ z**2
            if turn > 0:
                starts = member.optimum[None]
            elif first is not None and member.run in first:
                starts = np.asarray(first[member.run])[None]
            else:
                starts = screened(chosen, log, mean @ z, wide, rng)
            evaluations = EVALUATIONS if turn else FIRST_EVALUATIONS
            limits = limits_at(knobs, z)
            optimum = optimum_of(chosen, log, mean @ z, omega, starts, evaluations, limits)
            found.append(informed(chosen, log, member, optimum))
        knobs = dataclasses.replace(knobs, runs=tuple(found))
        effects = knobs.effects
        mean += (DAMPING if turn else 1.0) * (effects.mean - mean)
        squares = expected_deviations(
            effects,
            knobs.deviation,
            designs,
            np.array([run.information for run in found]),
            np.array([run.score for run in found]),
        )
        deviation = (squares + GUESS_WEIGHT * guess) / (len(found) + GUESS_WEIGHT)
        deviation = np.minimum(deviation, most)
        knobs = dataclasses.replace(knobs, deviation=deviation)
    return knobs


def limits_at(knobs: SettingsMap, design: Array) -> tuple[Array, Array]:
    """The ends of where θ is looked for at a row of covariates, by the first priors."""
    guess = np.array([p.seed_spread**2 for p in knobs.priors.parameters])
    middle = knobs.prior.mean @ design
    reach = REACH * np.sqrt(guess + knobs.prior.spread**2 @ design**2)
    return middle - reach, middle + reach


def members_of(
    runs: Iterable[Curves],
    theory: Theory,
    discrepancy: Discrepancy,
    until: float | None = None,
    points: int = POINTS,
) -> tuple[list[RunInformation], list[Observations], dict[str, str]]:
    """The usable runs, not yet fitted, their observations, and why others are left out."""
    k = len(theory.parameters)
    members: list[RunInformation] = []
    logs: list[Observations] = []
    excluded: dict[str, str] = {}
    for curves in runs:
        settings = curves.settings
        reason = unusable(settings)
        if reason is not None:
            excluded[curves.run] = reason
            continue
        try:
            values, origin, time_scale = (
                covariates(settings),
                head_start(settings),
                time_scale_of(settings),
            )
        except ValueError as error:
            excluded[curves.run] = str(error)
            continue
        cut = (
            curves.last_sequence if until is None else min(curves.last_sequence, until * time_scale)
        )
        try:
            log = observations(
                curves, discrepancy, until=cut, origin=origin, time_scale=time_scale, points=points
            )
        except LogError as error:
            excluded[curves.run] = str(error)
            continue
        logs.append(log)
        members.append(
            RunInformation(
                run=curves.run,
                settings=values,
                kind=data_kind(settings),
                until=cut,
                optimum=np.zeros(k),
                information=np.zeros((k, k)),
                score=np.zeros(k),
                source=dict(curves.source),
            )
        )
    if not members:
        reasons = "; ".join(f"{name}: {why}" for name, why in excluded.items()) or "none was given"
        raise LogError(f"no run to calibrate on ({reasons})")
    return members, logs, excluded


def _shown(turns: Any, progress: bool) -> Any:
    if not progress:
        return turns
    from tqdm.auto import tqdm

    return tqdm(turns, desc="calibrating", leave=False)
