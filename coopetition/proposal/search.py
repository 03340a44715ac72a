"""The verb `propose`: settings near a base in which ICL is expected to last."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..curves.curve import Curves
from ..errors import CoopetitionError
from ..forecasting import Forecast, forecast_settings
from ..forecasting.forecasts import require_map
from ..forecasting.settings_map import SettingsMap
from ..settings.covariates import covariates
from ..settings.training import TrainingSettings
from ..version import __version__
from .base import base_log, base_settings
from .mechanism import mechanism
from .moves import MOVABLE, Candidate, Move, candidates, default_moves
from .outcome_regression import Opinion
from .result import Proposal, Proposals, Screened
from .screening import verdict_chances

SCREEN_DRAWS, DRAWS = 200, 1500  # of the screening, and of a proposal's forecast
SPARE = 1.5  # candidates forecast with all draws, as a multiple of the wanted proposals
GAIN = 0.01  # least gain in probability over the base that makes a proposal


def propose(
    base: Mapping[str, Any] | TrainingSettings,
    settings_map: SettingsMap,
    *,
    budget: float,
    moves: Sequence[Move] | None = None,
    count: int = 5,
    sure: float = 0.8,
    looked_at: int = 200,
    opinion: Opinion | None = None,
    log: Curves | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Proposals:
    """Propose settings near a base in which ICL is persistent at the budget.

    Candidates are forecast with few draws, all with the same random numbers, and the promising ones
    again with many. Only settings that are likelier to be persistent than the base are proposed:
    first those with a probability of at least ``sure``, the cheapest first, then the others, the
    most probable first. Candidates that change the same settings as a better one come last.

    Parameters
    ----------
    base
        Settings by short name, as in `Curves.settings`, or our trainer's.
    settings_map
        From settings to distributions of parameters.
    budget
        Sequences at which ICL should persist.
    moves
        Which settings may move, how far and at what price; `default_moves` when None.
    count
        Most proposals to return.
    sure
        Probability that suffices.
    looked_at
        About how many candidates to screen.
    opinion
        From settings to verdict probabilities, such as `OutcomeRegression.predict`: a second
        opinion that is reported beside the map's and changes nothing.
    log
        The base's own, whose verdict is reported.
    seed
        Of all random numbers.
    progress
        Whether to show progress on stderr.

    Raises
    ------
    ValueError
        If an argument is out of range, or no setting may move.
    CoopetitionError
        If the simulations of every candidate failed.
    """
    require_map(settings_map)
    if not (math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget = {budget!r}: must be a positive number of sequences")
    if count < 1:
        raise ValueError(f"count = {count}: ask for at least 1 proposal")
    if not 0 < sure < 1:
        raise ValueError(f"sure = {sure}: must lie between 0 and 1, such as 0.8")
    base = base_settings(base)
    allowed = default_moves(base) if moves is None else tuple(moves)
    every = candidates(base, allowed, count=looked_at, seed=seed)
    base_chances, *chances = verdict_chances(
        [base, *(one.settings(base) for one in every)], settings_map,
        budget=budget, draws=SCREEN_DRAWS, seed=seed, progress=progress,
    )  # fmt: skip
    failures = [str(one) for one in chances if isinstance(one, CoopetitionError)]
    screened = tuple(
        Screened(candidate=candidate, verdict_probability=one)
        for candidate, one in zip(every, chances, strict=True)
        if not isinstance(one, CoopetitionError)
    )
    if not screened:
        raise CoopetitionError(f"no candidate could be simulated; the first: {failures[0]}")

    forecast = functools.partial(
        forecast_settings, settings_map=settings_map, horizon=budget, draws=DRAWS, seed=seed
    )
    own = forecast(base, run="base")
    threshold = 0.0 if isinstance(base_chances, CoopetitionError) else base_chances["persistent"]
    better = [one for one in screened if one.persistent > threshold]
    likely = [one.candidate for one in promising(better, sure, math.ceil(SPARE * count))]
    forecasts = [(candidate, forecast(candidate.settings(base))) for candidate in likely]
    before = own.verdict_probability["persistent"]
    gaining = [f for f in forecasts if f[1].verdict_probability["persistent"] >= before + GAIN]
    gaining.sort(key=lambda f: rank(f[1].verdict_probability["persistent"], f[0], sure))
    chosen = tuple(
        _proposal(f"proposal-{i:02d}", base, *pair, settings_map, opinion)
        for i, pair in enumerate(gaining[:count], start=1)
    )
    notes = [*own.warnings, *failures]
    best = max((p.probability_persistent for p in chosen), default=None)
    if best is None:
        remedy = "" if before >= sure else f"; {_wider(base, allowed, settings_map)}"
        notes.append(
            f"none of {len(screened)} candidates is likelier to be persistent than the base "
            f"({before:.2f}){remedy}"
        )
    elif best < sure:
        notes.append(
            f"no candidate is persistent with probability {sure:g} (the best: {best:.2f}); "
            f"{_wider(base, allowed, settings_map)}"
        )
    return Proposals(
        base=base,
        base_forecast=own,
        budget=float(budget),
        sure=sure,
        proposals=chosen,
        screened=screened,
        notes=tuple(dict.fromkeys(notes)),
        provenance={
            "version": __version__,
            "map": {**settings_map.provenance, "runs": [run.run for run in settings_map.runs]},
            "moves": [vars(move) for move in allowed],
            "seed": seed,
            "draws": {"screening": SCREEN_DRAWS, "forecast": DRAWS},
        },
        base_log=None if log is None else base_log(log),
    )


def _wider(base: Mapping[str, Any], allowed: Sequence[Move], settings_map: SettingsMap) -> str:
    """The remedy if nothing is probable enough, with other moves that matter in the map's runs."""
    names, values = {move.setting for move in allowed}, covariates(base)
    varied = [n for n in values if len({run.settings.get(n) for run in settings_map.runs}) > 1]
    further = []
    for move in default_moves(base, [name for name in MOVABLE if name not in names]):
        after = covariates({**base, move.setting: move.upper})
        if any(after[name] != values[name] for name in varied):
            further.append(move.setting)
    examples = f", such as {', '.join(further)}," if further else ""
    return f"allow more moves{examples} or a wider range"


def rank(persistent: float, candidate: Candidate, sure: float) -> tuple[float, ...]:
    """Sort key: the sufficiently probable by cost, then the others by probability."""
    if persistent >= sure:
        return (0.0, candidate.cost, -persistent)
    return (1.0, -persistent, candidate.cost)


def promising(screened: Sequence[Screened], sure: float, count: int) -> list[Screened]:
    """The best candidates; those that change the same settings as a better one come later."""
    in_order = sorted(screened, key=lambda s: rank(s.persistent, s.candidate, sure))
    groups: list[list[Screened]] = [[], [], [], []]
    seen: set[frozenset[str]] = set()
    for one in in_order:
        names = frozenset(one.candidate.changes)
        groups[2 * (one.persistent < sure) + (names in seen)].append(one)
        seen.add(names)
    return [one for group in groups for one in group][:count]


def _proposal(
    name: str,
    base: Mapping[str, Any],
    candidate: Candidate,
    forecast: Forecast,
    settings_map: SettingsMap,
    opinion: Opinion | None,
) -> Proposal:
    """The proposal of a forecast candidate, with the notes that do not hold for the base."""
    settings, budget = candidate.settings(base), forecast.horizon
    second = None if opinion is None else opinion({**settings, "horizon": budget})
    base_notes = settings_map.predict(base).notes
    changes = {name: (float(base[name]), float(to)) for name, to in candidate.changes.items()}
    return Proposal(
        name=name,
        changes=changes,
        settings=settings,
        cost=candidate.cost,
        probability_persistent=float(np.round(forecast.verdict_probability["persistent"], 4)),
        forecast=forecast,
        mechanism=mechanism(settings_map, base, settings, budget=budget).in_words(changes),
        second_opinion=None if second is None else round(second["persistent"], 4),
        notes=tuple(
            note for note in settings_map.predict(settings).notes if note not in base_notes
        ),
    )
