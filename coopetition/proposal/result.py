"""Results of the verb `propose`: one proposal, and all proposals around a base."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..forecasting import Forecast
from ..forecasting.result import WORTH_TELLING
from .base import BaseLog
from .moves import Candidate


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proposal:
    """Settings in which ICL is expected to last."""

    name: str  # of its files
    changes: Mapping[str, tuple[float, float]]  # from and to, by setting
    settings: Mapping[str, Any]  # all settings by short name
    cost: float  # of the changes
    probability_persistent: float  # at the budget
    forecast: Forecast = dataclasses.field(repr=False)
    mechanism: str  # why, in words and numbers
    second_opinion: float | None = None  # probability of persistent by a regression on settings
    notes: tuple[str, ...] = ()  # warnings that hold for these settings and not for the base

    def as_dict(self, file: str | None = None) -> dict[str, Any]:
        """Plain values for JSON; ``file`` is the settings file."""
        return {
            "name": self.name,
            "settings": file,
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "probability_persistent": self.probability_persistent,
            "verdict_probability": dict(self.forecast.verdict_probability),
            "theory_probability": dict(self.forecast.theory_probability),
            "cost": self.cost,
            "mechanism": self.mechanism,
            "second_opinion": self.second_opinion,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """One paragraph."""
        changes = ", ".join(f"{n} {a:g} → {b:g}" for n, (a, b) in self.changes.items())
        theory, others = self.forecast.theory_probability["persistent"], []
        if abs(theory - self.probability_persistent) >= WORTH_TELLING:
            others.append(f"by the theory alone {theory:.2f}")
        if self.second_opinion is not None:
            others.append(f"by a regression without a theory {self.second_opinion:.2f}")
        besides = f" ({', '.join(others)})" if others else ""
        first = (
            f"{self.name}: {changes} (cost {self.cost:.2f}); persistent with probability "
            f"{self.probability_persistent:.2f}{besides}"
        )
        return "\n    ".join([first, self.mechanism, *(f"note: {note}" for note in self.notes)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screened:
    """A candidate with verdict probabilities from few draws."""

    candidate: Candidate
    verdict_probability: Mapping[str, float]

    @property
    def persistent(self) -> float:
        """Probability that ICL is persistent at the budget."""
        return self.verdict_probability["persistent"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """Proposals around a base, and the candidates that they were chosen from."""

    base: Mapping[str, Any]  # settings by short name
    base_forecast: Forecast = dataclasses.field(repr=False)
    budget: float  # sequences at which ICL should persist
    sure: float  # probability that suffices
    proposals: tuple[Proposal, ...]  # those that reach it by cost, then the others by probability
    screened: tuple[Screened, ...] = dataclasses.field(repr=False)  # all candidates, by cost
    notes: tuple[str, ...]  # what a reader has to know, a sentence each
    provenance: Mapping[str, Any]  # version, map, moves, seed, draws
    base_log: BaseLog | None = None  # what the base's own log shows, if there is one

    @property
    def base_suffices(self) -> bool:
        """Whether the base itself is persistent with a probability that suffices."""
        return self.base_forecast.verdict_probability["persistent"] >= self.sure

    def as_dict(self, files: Mapping[str, str]) -> dict[str, Any]:
        """Plain values for JSON; ``files`` are the settings files by proposal."""
        return {
            "base": self.base_as_dict(),
            "budget": self.budget,
            "proposals": [one.as_dict(files.get(one.name)) for one in self.proposals],
            "frontier": [
                {
                    "cost": one.candidate.cost,
                    "probability_persistent": one.persistent,
                    "changes": dict(one.candidate.changes),
                }
                for one in self.frontier
            ],
            "notes": list(self.notes),
        }

    def base_as_dict(self) -> dict[str, Any]:
        """The base's forecast and what its log shows, as plain values for JSON."""
        return {
            "verdict_probability": dict(self.base_forecast.verdict_probability),
            "suffices": self.base_suffices,
            "log": None if self.base_log is None else self.base_log.as_dict(),
        }

    @property
    def frontier(self) -> tuple[Screened, ...]:
        """Candidates that are more probable than every cheaper one, the cheapest first."""
        best: list[Screened] = []
        for one in sorted(self.screened, key=lambda s: (s.candidate.cost, -s.persistent)):
            if not best or one.persistent > best[-1].persistent:
                best.append(one)
        return tuple(best)

    def summary(self) -> str:
        """The base, the proposals and the notes, as text."""
        chances = self.base_forecast.verdict_probability
        listed = ", ".join(f"{name} {share:.2f}" for name, share in chances.items())
        lines = [f"base at {self.budget:,.0f} sequences: {listed}"]
        if self.base_log is not None:
            lines.append(self.base_log.summary())
        if self.base_suffices:
            lines.append(
                f"the base reaches the sufficient probability of {self.sure:g}: nothing needs "
                "changing"
            )
        lines += [f"{i}. {p.summary()}" for i, p in enumerate(self.proposals, start=1)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
