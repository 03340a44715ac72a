"""Settings in which in-context learning should last; the verb is `propose`.

`boundary` maps where it stops lasting, `most_informative` finds the run worth making next,
`with_runs` adds runs to a map.
"""

from .base import BaseLog
from .design import Experiment, most_informative
from .map_updates import with_runs
from .mechanism import Mechanism, mechanism
from .moves import Candidate, Move, candidates, default_moves, parse_move
from .outcome_regression import OutcomeRegression, regress_outcomes
from .result import Proposal, Proposals, Screened
from .screening import Boundary, boundary
from .search import propose

__all__ = [
    "BaseLog",
    "Boundary",
    "Candidate",
    "Experiment",
    "Mechanism",
    "Move",
    "OutcomeRegression",
    "Proposal",
    "Proposals",
    "Screened",
    "boundary",
    "candidates",
    "default_moves",
    "mechanism",
    "most_informative",
    "parse_move",
    "propose",
    "regress_outcomes",
    "with_runs",
]
