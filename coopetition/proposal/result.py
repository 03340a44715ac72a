"""Results of the verb `propose`: a proposal, and all proposals around a base."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..forecasting import Forecast
from ..forecasting.result import WORTH_TELLING
from .base import BaseLog
from .candidates import Candidate


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proposal:
    """Settings in which ICL is expected to last.

    Parameters
    ----------
    name
        Of its files.
    changes
        From and to, by setting.
    settings
        All settings by short name.
    cost
        Of the changes.
    probability_persistent
        That ICL is persistent at the budget.
    forecast
        Predicted curves with bands, landmarks, probabilities of all verdicts.
    mechanism
        Why, in words and numbers.
    second_opinion
        Probability that ICL is persistent by a regression without a theory, where there is one.
    notes
        Warnings that hold for these settings and not for the base, a sentence each.
    """

    name: str
    changes: Mapping[str, tuple[float, float]]
    settings: Mapping[str, Any]
    cost: float
    probability_persistent: float
    forecast: Forecast = dataclasses.field(repr=False)
    mechanism: str
    second_opinion: float | None = None
    notes: tuple[str, ...] = ()

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
        alone, second = self.forecast.theory_probability["persistent"], self.second_opinion
        others = []
        if abs(alone - self.probability_persistent) >= WORTH_TELLING:
            others.append(f"by the theory alone {alone:.2f}")
        if second is not None:
            others.append(f"by a regression without a theory {second:.2f}")
        besides = f" ({', '.join(others)})" if others else ""
        first = (
            f"{self.name}: {changes} (cost {self.cost:.2f}); persistent with probability "
            f"{self.probability_persistent:.2f}{besides}"
        )
        return "\n    ".join([first, self.mechanism, *(f"note: {note}" for note in self.notes)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screened:
    """A candidate with the probabilities of the verdicts from few draws."""

    candidate: Candidate
    verdict_probability: Mapping[str, float]

    @property
    def persistent(self) -> float:
        """Probability that ICL is persistent at the budget."""
        return self.verdict_probability["persistent"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """Proposals around a base, and the candidates that they were chosen from.

    Parameters
    ----------
    base
        Its settings by short name.
    base_forecast
        Of the base itself.
    budget
        Sequences at which ICL is to be there.
    sure
        Probability from which the cheapest is preferred.
    proposals
        The best first: the sufficiently probable by cost, then the others by probability.
    screened
        All candidates, the cheapest first.
    notes
        What a reader has to know, a sentence each.
    provenance
        Version, map, seed, settings of the search.
    base_log
        What the base's own log shows, where there is one.
    """

    base: Mapping[str, Any]
    base_forecast: Forecast = dataclasses.field(repr=False)
    budget: float
    sure: float
    proposals: tuple[Proposal, ...]
    screened: tuple[Screened, ...] = dataclasses.field(repr=False)
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]
    base_log: BaseLog | None = None

    @property
    def base_suffices(self) -> bool:
        """Whether the base itself is persistent with sufficient probability."""
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
        """What is expected of the base and what its log shows, plain for JSON."""
        return {
            "verdict_probability": dict(self.base_forecast.verdict_probability),
            "suffices": self.base_suffices,
            "log": None if self.base_log is None else self.base_log.as_dict(),
        }

    @property
    def frontier(self) -> tuple[Screened, ...]:
        """Candidates that no cheaper one matches in probability, cheapest first."""
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
                f"the base reaches the probability of {self.sure:g} that suffices: nothing needs "
                "changing"
            )
        lines += [f"{i}. {p.summary()}" for i, p in enumerate(self.proposals, start=1)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
