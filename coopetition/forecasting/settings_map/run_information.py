"""What one run says: of its parameters by its log, of the map by what became of its ICL."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...arrays import ReadOnlyArrays, StoredArray
from ...curves.verdicts import Verdict
from ...settings.covariates import combination


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictRecord:
    """What became of ICL by a horizon, and what the map would have said before.

    Parameters
    ----------
    horizon
        In sequences.
    verdict
        Of the run's log.
    predicted
        The theory's verdict probabilities from the settings alone, by a map without the runs of
        those settings.
    """

    horizon: float
    verdict: Verdict
    predicted: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunInformation(ReadOnlyArrays):
    """What one run's log says about its parameters, near its optimum.

    Parameters
    ----------
    run
        Its name.
    settings
        Its covariates, None where unknown.
    kind
        Its kind of data.
    until
        Sequences of its log that were used.
    optimum
        θ at the optimum under the map, shape ``(k,)``.
    information, score
        H and b of the quadratic log-likelihood b·θ − ½ θᵀ H θ, shapes ``(k, k)`` and ``(k,)``.
    source
        Path and checksum of the log, or what it was read from.
    verdicts
        What became of ICL; none if the log cannot tell.
    """

    run: str
    settings: Mapping[str, float | None]
    kind: str
    until: float
    optimum: StoredArray
    information: StoredArray
    score: StoredArray
    source: Mapping[str, Any]
    verdicts: tuple[VerdictRecord, ...] = ()

    @property
    def combination(self) -> tuple[Any, ...]:
        """What runs that differ in their seed only have in common."""
        return combination(self.kind, self.settings)
