"""What became of ICL in the base's own run, beside what is expected of such runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..curves.curve import Curves
from ..curves.verdicts import Verdict, verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseLog:
    """The verdict of the base's log.

    Parameters
    ----------
    run
        Its name.
    verdict
        At the end of its flip curve.
    sequences
        Where that is.
    """

    run: str
    verdict: Verdict
    sequences: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """One line."""
        return f"its log, run {self.run}: ICL is {self.verdict} at {self.sequences:,.0f} sequences"


def base_log(curves: Curves) -> BaseLog | None:
    """What a log shows; None where it holds no two points of flip accuracy.

    Examples
    --------
    >>> from coopetition.logs import read_curves
    >>> base_log(*read_curves("published:mq")).verdict
    'persistent'
    """
    flip = curves.accuracy("flip")
    if flip is None or len(flip) < 2:
        return None
    return BaseLog(run=curves.run, verdict=verdict(curves), sequences=float(flip.sequences[-1]))
