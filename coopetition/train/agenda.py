"""When a run evaluates and checkpoints, in optimizer steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..settings.training import TrainingSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """What happens after ``step`` optimizer steps, in this order."""

    step: int
    evaluate: bool
    measure: bool
    checkpoint: bool
    keep: bool  # the checkpoint is for good


def steps_of(points: Iterable[int], batch_size: int, last: int) -> set[int]:
    """The first step at which each sequence count is reached, up to the last step."""
    steps = {-(-point // batch_size) for point in points}
    return {step for step in steps if step <= last}


def events(settings: TrainingSettings) -> tuple[Event, ...]:
    """All events of a run in order, those at its start (step 0) and end included.

    A sequence count that is no multiple of the batch size is rounded up to one.
    """
    batch, total = settings.optimisation.batch_size, settings.run.sequences
    last = -(-total // batch)

    def regular(every: int) -> set[int]:
        return steps_of(range(0, total, every), batch, last) | {last} if every else set()

    evaluated = regular(settings.evaluation.every) | steps_of(settings.evaluation.at, batch, last)
    measured = regular(settings.run.measures_every)
    kept = steps_of(settings.run.checkpoint_at, batch, last) | {last}
    checkpointed = (regular(settings.run.checkpoint_every) - {0}) | kept
    return tuple(
        Event(
            step=step,
            evaluate=step in evaluated,
            measure=step in measured,
            checkpoint=step in checkpointed,
            keep=step in kept,
        )
        for step in sorted({0} | evaluated | measured | checkpointed)
    )
