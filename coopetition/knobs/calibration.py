"""Calibrate a map: several runs fitted together, with a common law of how settings move parameters.

Empirical Bayes by expectation–maximisation. In turn: each run's θ is fitted to its log with the
map's present prediction as prior (least squares, exact derivatives); the effects follow by
regression (`coopetition.knobs.regression`); the deviations' variances follow from what is left,
shrunk towards a first guess, because few runs differ in their seed only.

References: Lindstrom & Bates 1990, Biometrics 46:673; Efron & Morris 1973, J. Am. Stat. Assoc.
68:117.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves import Curves
from ..errors import FitError, LogError
from ..files import provenance
from ..forecasting.discrepancy import Discrepancy
from ..forecasting.evidence import Evidence, evidence
from ..forecasting.theory import Theory, parameter_names
from ..forecasting.toy_theory import toy_theory
from ..seeds import stream
from .covariates import covariates, data_kind, head_start, pace_of, unusable
from .knob_map import KnobMap, RunInformation
from .regression import expected_deviations

Array = NDArray[np.float64]

ROUNDS = 14
SCREENED, POLISHED = 1500, 6  # draws looked at, and fitted, for a run's first optimum
FIRST_EVALUATIONS, EVALUATIONS = 25, 8
GUESS_WEIGHT = 8.0  # runs that the first guess of the deviations counts for
REACH = 2.5  # of the first belief's deviations within which a run's θ is looked for
DAMPING = 0.6  # of the effects' change a round: undamped they swing
SHARPEST = 1e6  # largest eigenvalue of a log's information on θ: 0.1 % of a parameter
FAILED = "the theory cannot be simulated where it fits the log best"
MISS = 30.0  # standardised residual of a simulation that failed


def calibrate(
    runs: Iterable[Curves],
    *,
    theory: Theory | str = "coopetition",
    until: float | None = None,
    points: int = 56,
    discrepancy: Discrepancy | None = None,
    first: Mapping[str, Array] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> KnobMap:
    """Calibrate a map on runs.

    Parameters
    ----------
    runs
        Logs with their settings.
    theory
        A theory, or the name of a toy model.
    until
        Sequences of a log that are used, at the base's time scale (other runs in proportion to
        theirs); the whole log when None.
    points
        Most values kept of a curve.
    discrepancy
        The random function between theory and curves.
    first
        Where to start a run's θ by its name, for runs calibrated before; saves the screening.
    seed
        Of the draws that are screened.
    progress
        Whether to show progress on stderr.

    Returns
    -------
    KnobMap
        Runs it could not use are named in `KnobMap.excluded`.

    Raises
    ------
    LogError
        If no run can be used, or two have the same name.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> found = calibrate(read_curves("published:mq"), points=12)
    >>> found.runs[0].run
    'mq'
    """
    chosen = toy_theory(theory) if isinstance(theory, str) else theory
    form = discrepancy or Discrepancy()
    members, logs, excluded = _members(runs, chosen, form, until, points)
    knobs = KnobMap(
        theory=chosen.name,
        parameters=parameter_names(chosen),
        deviation=np.array([(1.5 * p.seed_spread) ** 2 for p in chosen.parameters]),
        runs=tuple(members),
        excluded=excluded,
        discrepancy=form,
        provenance=provenance(
            "calibrate", {"until": until, "points": points, "theory": chosen.name}, seed=seed
        ),
        declared=None if isinstance(theory, str) else theory,
    )
    rng = stream(seed, "calibration")
    guess = np.array([p.seed_spread**2 for p in chosen.parameters])
    # what no log determines would otherwise spread further with every round
    most = np.array([p.setting_spread**2 for p in chosen.parameters])
    designs = np.array([knobs.design(run.settings, run.kind) for run in members])
    mean = knobs.prior.mean.copy()
    for turn in _shown(range(ROUNDS), progress):
        found = []
        for member, log, z in zip(knobs.runs, logs, designs, strict=True):
            omega = np.diag(1.0 / knobs.deviation)
            wide = guess + knobs.prior.spread**2 @ z**2
            middle, reach = knobs.prior.mean @ z, REACH * np.sqrt(wide)
            if turn > 0:
                starts = member.optimum[None]
            elif first is not None and member.run in first:
                starts = np.asarray(first[member.run])[None]
            else:
                starts = _screened(chosen, log, mean @ z, wide, rng)
            evaluations = EVALUATIONS if turn else FIRST_EVALUATIONS
            limits = (middle - reach, middle + reach)
            optimum = _optimum(chosen, log, mean @ z, omega, starts, evaluations, limits)
            found.append(_informed(chosen, log, member, optimum))
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
    failed = {run.run: FAILED for run in knobs.runs if not run.information.any()}
    kept = tuple(run for run in knobs.runs if run.run not in failed)
    return dataclasses.replace(knobs, runs=kept, excluded={**excluded, **failed})


def _members(
    runs: Iterable[Curves],
    theory: Theory,
    discrepancy: Discrepancy,
    until: float | None,
    points: int,
) -> tuple[list[RunInformation], list[Evidence], dict[str, str]]:
    """The usable runs, not yet fitted, their evidence, and why others are left out."""
    k = len(theory.parameters)
    members: list[RunInformation] = []
    logs: list[Evidence] = []
    excluded: dict[str, str] = {}
    for curves in runs:
        if curves.run in {m.run for m in members} | set(excluded):
            raise LogError(f"two runs are called {curves.run!r}: rename one to calibrate on both")
        settings = curves.settings
        reason = unusable(settings)
        if reason is not None:
            excluded[curves.run] = reason
            continue
        origin, pace = head_start(settings), pace_of(settings)
        cut = curves.last_sequence if until is None else min(curves.last_sequence, until * pace)
        try:
            log = evidence(curves, discrepancy, until=cut, origin=origin, pace=pace, points=points)
        except LogError as error:
            excluded[curves.run] = str(error)
            continue
        logs.append(log)
        members.append(
            RunInformation(
                run=curves.run,
                settings=covariates(settings),
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


def _screened(
    theory: Theory, log: Evidence, mean: Array, variance: Array, rng: np.random.Generator
) -> Array:
    """The draws from a wide prior that fit best, shape ``(POLISHED, k)``."""
    thetas = mean + np.sqrt(variance) * rng.standard_normal((SCREENED, len(mean)))
    thetas[0] = mean
    fit = log.log_likelihood(theory.curves(thetas, log.times))
    fit -= 0.5 * np.sum((thetas - mean) ** 2 / variance, axis=1)
    return thetas[np.argsort(-fit)[:POLISHED]]


def _scale(theory: Theory, log: Evidence, theta: Array) -> int:
    """The most probable λ at θ, as an index."""
    return int(np.argmax(log.log_likelihoods(theory.curves(theta[None], log.times))[0]))


def _optimum(
    theory: Theory,
    log: Evidence,
    mean: Array,
    omega: Array,
    starts: Array,
    evaluations: int,
    limits: tuple[Array, Array],
) -> Array:
    """The best of the starts after least squares with the prior, within limits, ``(k,)``."""
    from scipy.optimize import least_squares

    root = np.sqrt(omega)  # diagonal
    kept: dict[bytes, tuple[Array, Array]] = {}

    def evaluate(theta: Array, scale: int) -> tuple[Array, Array]:
        key = theta.tobytes()
        if key not in kept:
            kept.clear()
            slopes = theory.slopes(theta, log.times)
            if slopes is None:
                empty = np.zeros((log.count, len(theta)))
                misses = (np.full(log.count, MISS), empty)
            else:
                misses = log.residuals(slopes, scale)
            kept[key] = misses
        return kept[key]

    best: tuple[float, Array] | None = None
    inside = 1e-6 * (limits[1] - limits[0])  # least squares starts off the limits
    for start in np.clip(starts, limits[0] + inside, limits[1] - inside):
        scale = _scale(theory, log, start)
        kept.clear()

        def residuals(theta: Array, at: int = scale) -> Array:
            return np.concatenate([evaluate(theta, at)[0], root @ (theta - mean)])

        def jacobian(theta: Array, at: int = scale) -> Array:
            return np.concatenate([evaluate(theta, at)[1], root])

        result = least_squares(
            residuals,
            start,
            jac=jacobian,
            bounds=limits,
            x_scale="jac",
            max_nfev=evaluations,
            ftol=1e-6,
            xtol=1e-6,
            gtol=1e-6,
        )
        away = root @ (result.x - mean)
        likelihood = log.log_likelihood(theory.curves(result.x[None], log.times))[0]
        cost = 0.5 * float(away @ away) - float(likelihood)
        if best is None or cost < best[0]:
            best = (cost, result.x)
    if best is None:
        raise FitError(f"no start to fit run {log.run} from")
    return best[1]


def _informed(
    theory: Theory, log: Evidence, member: RunInformation, optimum: Array
) -> RunInformation:
    """The run with the quadratic form of its log-likelihood at the optimum."""
    slopes = theory.slopes(optimum, log.times)
    if slopes is None:
        nothing = np.zeros((len(optimum), len(optimum)))
        return dataclasses.replace(member, information=nothing, score=nothing[0])
    residuals, jacobian = log.residuals(slopes, _scale(theory, log, optimum))
    sizes, directions = np.linalg.eigh(jacobian.T @ jacobian)
    # beyond this a direction is known exactly, and larger numbers only lose digits
    share = np.minimum(1.0, SHARPEST / np.maximum(sizes, 1e-300))
    information = (directions * np.maximum(sizes, 0.0) * share) @ directions.T
    slope = (directions * share) @ (directions.T @ (jacobian.T @ residuals))
    return dataclasses.replace(
        member, optimum=optimum, information=information, score=information @ optimum - slope
    )


def _shown(turns: Any, progress: bool) -> Any:
    if not progress:
        return turns
    from tqdm.auto import tqdm

    return tqdm(turns, desc="calibrating", leave=False)
