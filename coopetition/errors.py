"""The package's errors.

A bad argument raises `ValueError` before work begins. A failure during the work (an integration
that diverges, a log that cannot be read) raises a `CoopetitionError`. Every message names the
argument, its value and the remedy; the command line prints it as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 40  # names in a message; of more, only the number is given


class CoopetitionError(Exception):
    """A failure during the work, with a message that says what to do about it."""


class ModelError(CoopetitionError, ValueError):
    """A model's declaration contradicts itself: an unknown factor, a dimension of 0, …"""


class IntegrationError(CoopetitionError):
    """An integration could not reach its horizon."""


class LogError(CoopetitionError):
    """A training log cannot be read, or holds nothing that can be used."""


class FitError(CoopetitionError):
    """No start of a fit led to a finite optimum."""


class CheckpointError(CoopetitionError):
    """A checkpoint or run folder is missing, damaged or belongs to another network."""


class TrainingError(CoopetitionError):
    """A training run cannot go on: the loss is no longer finite, the disk is full, …"""


class Interrupted(TrainingError):
    """A training run was asked to stop; it can be continued."""


class UnknownNameError(ValueError):
    """A name that does not exist."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that does not exist, with the nearest that does.

    Examples
    --------
    >>> str(unknown_name("model", "copetition", ["coopetition", "decay"]))
    "unknown model 'copetition': did you mean 'coopetition'? (known: coopetition, decay)"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known[:LISTED])
    more = f", … {len(known)} in all" if len(known) > LISTED else ""
    return UnknownNameError(f"unknown {kind} {name!r}:{hint} (known: {listed}{more})")
