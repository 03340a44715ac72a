"""Calibrate a map: fit several runs together, with common effects of settings on parameters.

Empirical Bayes by expectation–maximisation. In turn: each run's θ is fitted to its log with the
map's present prediction as prior; the effects follow by regression
(`coopetition.forecasting.settings_map.regression`); the deviations' variances follow from the
remainders, shrunk towards a first guess, because few runs differ in their seed only.

References: Lindstrom & Bates 1990, Biometrics 46:673; Efron & Morris 1973, J. Am. Stat. Assoc.
68:117.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

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
from .priors import Priors, current_priors
from .regression import expected_deviations
from .run_information import RunInformation, informed, optimum_of, screened
from .settings_map import GUESS_WEIGHT, SettingsMap

Array = NDArray[np.float64]

POINTS = 56  # most values kept of a curve
ROUNDS = 14
FIRST_EVALUATIONS, EVALUATIONS = 25, 8
REACH = 2.5  # prior standard deviations within which a run's θ is searched
DAMPING = 0.6  # of the effects' change in a round: undamped they oscillate
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
        Of parameters and effects; those of this version when None.
    first
        Where to start a run's θ by its name, for runs calibrated before; saves the screening.
    verdicts
        Whether to learn from the runs how to correct verdict probabilities
        (`coopetition.forecasting.settings_map.verdict_correction`).
    seed
        Of the draws that are screened.
    progress
        Whether to show progress on stderr.

    Returns
    -------
    SettingsMap
        Unusable runs are named in `SettingsMap.excluded`; what the runs cannot determine, because
        their settings are equal, in `SettingsMap.warnings` and its provenance.

    Raises
    ------
    LogError
        If no run can be used, or two that no file holds have the same name.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> settings_map = calibrate(read_curves("published:mq"), points=12)
    >>> settings_map.runs[0].run
    'mq'
    """
    theory = as_theory(theory)
    declared = None if isinstance(theory, str) else theory
    theory = toy_theory(theory) if isinstance(theory, str) else theory
    form, priors = discrepancy or Discrepancy(), priors or current_priors(theory)
    runs = distinct(runs_in(runs))
    members, logs, excluded = usable_runs(runs, theory, form, until, points)
    settings_map = SettingsMap(
        theory=theory.name,
        parameters=parameter_names(theory),
        deviation=np.array([(1.5 * p.seed_spread) ** 2 for p in priors.parameters]),
        runs=tuple(members),
        excluded={},
        discrepancy=form,
        priors=priors,
        provenance=provenance(
            "calibrate",
            {"until": until, "points": points, "theory": theory.name},
            seed=seed,
            sources=[curves.source for curves in runs],
        ),
        declared=declared,
    )
    with one_blas_thread():
        settings_map = _fitted_together(
            settings_map, theory, logs, first or {}, stream(seed, "calibration"), progress
        )
    settings_map = _with_informed(
        dataclasses.replace(settings_map, runs=()), settings_map.runs, excluded
    )
    origin = {**settings_map.provenance, "warnings": list(settings_map.warnings)}
    settings_map = dataclasses.replace(settings_map, provenance=origin)
    if not verdicts:
        return settings_map
    return with_verdicts(settings_map, {c.run: c for c in runs}, seed=seed, progress=progress)


def joined(settings_map: SettingsMap, runs: Sequence[Curves], *, seed: int = 0) -> SettingsMap:
    """The map with further runs, under names that it does not have; a `LogError` if none is usable.

    Each run is fitted to its log, used as far as the map's own logs, under the map's prediction of
    its settings: θ maximises log p(log | θ) − ½ Σ_j (θ_j − m_j)²/C_jj.
    """
    theory, settings = settings_map.the_theory(), {curves.run: curves.settings for curves in runs}
    calibrated = settings_map.provenance.get("settings", {})
    limit = {name: calibrated[name] for name in ("until", "points") if name in calibrated}
    members, logs, excluded = usable_runs(runs, theory, settings_map.discrepancy, **limit)
    rng, fitted = stream(seed, "calibration"), []
    with one_blas_thread():
        for member, log in zip(members, logs, strict=True):
            prior = settings_map.predict(settings[member.run])
            variance = np.diag(prior.covariance)
            starts = screened(theory, log, prior.mean, variance, rng)
            limits = _limits(settings_map, settings_map.design(member.settings, member.kind))
            optimum = optimum_of(
                theory, log, prior.mean, np.diag(1.0 / variance), starts, FIRST_EVALUATIONS, limits
            )
            fitted.append(informed(theory, log, member, optimum))
    both = _with_informed(settings_map, fitted, excluded)
    if len(both.runs) == len(settings_map.runs):
        reasons = "; ".join(f"{c.run}: {both.excluded[c.run]}" for c in runs)
        raise LogError(f"no run to learn from ({reasons})")
    return both


def _with_informed(
    settings_map: SettingsMap, fitted: Iterable[RunInformation], excluded: Mapping[str, str]
) -> SettingsMap:
    """The map with further fitted runs; those whose optimum cannot be simulated are excluded."""
    runs, excluded = list(settings_map.runs), {**settings_map.excluded, **excluded}
    for run in fitted:
        if run.information.any():
            runs.append(run)
        else:
            excluded[run.run] = FAILED
    return dataclasses.replace(settings_map, runs=tuple(runs), excluded=excluded)


def _fitted_together(
    settings_map: SettingsMap,
    theory: Theory,
    logs: Sequence[Observations],
    first: Mapping[str, Array],
    rng: np.random.Generator,
    progress: bool,
) -> SettingsMap:
    """The map with its runs' information and deviations, estimated by turns."""
    from tqdm.auto import tqdm

    parameters = settings_map.priors.parameters
    guess = np.array([p.seed_spread**2 for p in parameters])
    # a parameter that no log determines would spread further with every round
    most = np.array([p.setting_spread**2 for p in parameters])
    designs = np.array([settings_map.design(run.settings, run.kind) for run in settings_map.runs])
    mean = settings_map.prior.mean.copy()
    for turn in tqdm(range(ROUNDS), desc="calibrating", leave=False, disable=not progress):
        runs = []
        for member, log, z in zip(settings_map.runs, logs, designs, strict=True):
            omega = np.diag(1.0 / settings_map.deviation)
            if turn > 0:
                starts = member.optimum[None]
            elif member.run in first:
                starts = np.asarray(first[member.run])[None]
            else:
                wide = guess + settings_map.prior.spread**2 @ z**2
                starts = screened(theory, log, mean @ z, wide, rng)
            evaluations = EVALUATIONS if turn else FIRST_EVALUATIONS
            limits = _limits(settings_map, z)
            optimum = optimum_of(theory, log, mean @ z, omega, starts, evaluations, limits)
            runs.append(informed(theory, log, member, optimum))
        settings_map = dataclasses.replace(settings_map, runs=tuple(runs))
        effects = settings_map.effects
        mean += (DAMPING if turn else 1.0) * (effects.mean - mean)
        squares = expected_deviations(
            effects,
            settings_map.deviation,
            designs,
            np.array([run.information for run in runs]),
            np.array([run.score for run in runs]),
        )
        deviation = (squares + GUESS_WEIGHT * guess) / (len(runs) + GUESS_WEIGHT)
        settings_map = dataclasses.replace(settings_map, deviation=np.minimum(deviation, most))
    return settings_map


def _limits(settings_map: SettingsMap, design: Array) -> tuple[Array, Array]:
    """Bounds of the search for θ at a row of covariates, from the priors alone."""
    guess = np.array([p.seed_spread**2 for p in settings_map.priors.parameters])
    middle = settings_map.prior.mean @ design
    reach = REACH * np.sqrt(guess + settings_map.prior.spread**2 @ design**2)
    return middle - reach, middle + reach


def usable_runs(
    runs: Iterable[Curves],
    theory: Theory,
    discrepancy: Discrepancy,
    until: float | None = None,
    points: int = POINTS,
) -> tuple[list[RunInformation], list[Observations], dict[str, str]]:
    """The usable runs, not yet fitted, their observations, and reasons to leave out others."""
    k = len(theory.parameters)
    members: list[RunInformation] = []
    logs: list[Observations] = []
    excluded: dict[str, str] = {}
    for curves in runs:
        settings = curves.settings
        try:
            if (reason := unusable(settings)) is not None:
                raise ValueError(reason)
            values, origin, scale = (
                covariates(settings), head_start(settings), time_scale_of(settings)
            )  # fmt: skip
            cut = min(curves.last_sequence, math.inf if until is None else until * scale)
            log = observations(
                curves, discrepancy, until=cut, origin=origin, time_scale=scale, points=points
            )
        except (ValueError, LogError) as error:
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
