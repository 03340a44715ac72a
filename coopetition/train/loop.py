"""Training from start or checkpoint to end: steps, evaluations, checkpoints, stops on the way."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Interrupted, TrainingError
from ..logs import read_curves
from ..settings.training import TrainingSettings
from .compute.devices import choose_device, cpu_threads
from .compute.gpu.capture import STRETCH
from .compute.gpu.memory import forget_peak, memory_explained, peak_memory
from .ensemble import Ensemble
from .folder.checkpoints import newest_checkpoint, prune, write_checkpoint
from .folder.ensemble_folder import begin, members_to_train, record_continuation, reopen
from .folder.ownership import owned
from .folder.run_folder import RunFolder
from .interruption import Interruption
from .observers import Observer, observers_of, require_extras
from .trained_run import TrainedRun


def train(
    settings: TrainingSettings | Sequence[TrainingSettings],
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
    observers: Sequence[Observer] = (),
    about: Mapping[str, Any] | None = None,
) -> tuple[TrainedRun, ...]:
    """Train one network, or several as one ensemble.

    Parameters
    ----------
    settings
        Of one run, or of several that differ in seeds and numbers only. With ``resume`` an empty
        sequence stands for those in the folder.
    folder
        Where the run goes; an ensemble's members go into folders below it, by name.
    resume
        Continue the run in the folder from its newest whole checkpoint, or begin it where there is
        none. On the same device and thread count the curves are bitwise those of a run that was
        never interrupted.
    device
        ``auto``, ``cpu``, ``cuda``, …
    progress
        Whether to show a progress bar on stderr.
    observers
        Further observers.
    about
        What else to record in ``run.json``, such as the command; of a run that is continued, in a
        new entry under ``continued``.

    Returns
    -------
    tuple of TrainedRun
        One for each member.

    Raises
    ------
    ValueError
        If the settings contradict each other, or anything measured is in the folder of a run and it
        is not continued.
    CheckpointError
        If the run cannot be continued.
    TrainingError
        If it was interrupted (a checkpoint is left), the loss of every member ceased to be finite,
        or the folder cannot be written to.
    FolderTaken
        If another process trains in the folder.
    """
    folder = Path(folder).expanduser()
    with owned(folder, required=False):
        return train_owned(
            settings,
            folder,
            resume=resume,
            device=device,
            progress=progress,
            observers=observers,
            about=about,
        )


def train_owned(
    settings: TrainingSettings | Sequence[TrainingSettings],
    folder: Path,
    *,
    resume: bool,
    device: str,
    progress: bool,
    observers: Sequence[Observer] = (),
    about: Mapping[str, Any] | None = None,
) -> tuple[TrainedRun, ...]:
    """As `train`, in a folder that the caller owns (`coopetition.train.folder.ownership.owned`)."""
    members = (settings,) if isinstance(settings, TrainingSettings) else tuple(settings)
    members, continuing = members_to_train(folder, members, resume=resume)
    chosen = choose_device(device)
    require_extras(members)
    with cpu_threads(members[0].run.threads if members else 0):
        ensemble = Ensemble(members, chosen)
        forget_peak(chosen)
        need, count = ensemble.memory_need(), len(members)
        folders = reopen(folder, ensemble) if continuing else begin(folder, ensemble, about or {})
        run = Run(folder, ensemble, folders)
        notes = run.continue_from_newest() if continuing else ()
        working = bool(run.due())
        if continuing and working:
            record_continuation(folders, ensemble, run.sequences, about or {})
        watching = [
            *observers,
            *observers_of(members, folder, start=run.sequences, progress=progress),
        ]
        run.observers = watching
        try:
            for note in notes:
                run.note(note)
            ensemble.capture(STRETCH, run.note)
            if chosen.type != "cpu":
                run.note(ensemble.summary())
            with Interruption() as interruption, memory_explained(need, count, chosen):
                run.finish(interruption)
            peak = peak_memory(chosen)
            if peak is not None and working:
                for member in folders:
                    member.record({**ensemble.computed_by(), "gpu_memory_peak_bytes": peak})
        finally:
            ensemble.captured = None  # frees its graphs' memory for a next run in this process
            for observer in watching:
                observer.close()
    return tuple(
        TrainedRun(
            folder=member.path,
            settings=member.settings,
            sequences=run.sequences,
            seconds=run.seconds,
            diverged=member.settings.name in run.diverged,
            peak_memory=peak,
            curves=read_curves(member.path)[0],
        )
        for member in folders
    )


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


class Run:
    """An ensemble on its way. Mutable: this is the hot loop."""

    def __init__(self, folder: Path, ensemble: Ensemble, folders: Sequence[RunFolder]) -> None:
        self.folder, self.ensemble, self.folders = folder, ensemble, folders
        self.observers: Sequence[Observer] = ()
        self.batch_size = ensemble.members[0].optimisation.batch_size
        self.step, self.seconds = 0, 0.0
        self.fresh = True  # nothing was done at the present step yet
        self.diverged: set[str] = set()

    @property
    def sequences(self) -> int:
        """Training sequences each member has seen."""
        return self.step * self.batch_size

    def note(self, text: str) -> None:
        """Tell the user."""
        for observer in self.observers:
            observer.note(text)

    def continue_from_newest(self) -> tuple[str, ...]:
        """Load the newest whole checkpoint and drop what was measured after it; what to say."""
        checkpoint, notes = newest_checkpoint(self.folder)
        reached = -1
        if checkpoint is None:
            notes = (*notes, "no whole checkpoint: beginning again")
        else:
            self.ensemble.load_state(checkpoint.tensors)
            self.step = checkpoint.sequences // self.batch_size
            self.seconds = float(checkpoint.about.get("seconds", 0.0))
            self.diverged = set(checkpoint.about.get("diverged", ()))
            self.fresh, reached = not checkpoint.about.get("attended"), checkpoint.sequences
            notes = (*notes, f"continuing from {checkpoint.sequences:,} sequences")
        for member in self.folders:
            member.cut_after(reached)
        return notes

    def due(self) -> tuple[Event, ...]:
        """What is still to come."""
        first = self.step if self.fresh else self.step + 1
        return tuple(e for e in events(self.ensemble.members[0]) if e.step >= first)

    def finish(self, interruption: Interruption) -> None:
        """Train to the end, stopping with a checkpoint when asked to."""
        for event in self.due():
            self.advance_to(event.step, interruption)
            self.attend(event)

    def advance_to(self, step: int, interruption: Interruption) -> None:
        """Take steps up to ``step``."""
        while self.step < step:
            began = time.perf_counter()
            stretch = min(STRETCH, step - self.step)
            self.ensemble.advance(stretch)
            self.step += stretch
            self.fresh = True
            self.seconds += time.perf_counter() - began
            for observer in self.observers:
                observer.advanced(self.sequences)
            if interruption.requested:
                self.checkpoint(keep=False, attended=False)
                raise Interrupted(
                    f"interrupted at {self.sequences:,} sequences; continue with --resume"
                )

    def attend(self, event: Event) -> None:
        """Evaluate and checkpoint as the event says."""
        began = time.perf_counter()
        if event.evaluate:
            self.evaluate()
        if event.measure:
            self.measure()
        self.seconds += time.perf_counter() - began
        if event.checkpoint:
            self.checkpoint(keep=event.keep)
        self.fresh = False

    def evaluate(self) -> None:
        """Measure every member and write it down."""
        losses = self.ensemble.take_loss()
        measured = []
        for member, values, loss in zip(
            self.folders, self.ensemble.evaluate(), losses, strict=True
        ):
            means = {
                f"{evaluator}/{metric}": float(of_metric.mean())
                for evaluator, by_metric in values.items()
                for metric, of_metric in by_metric.items()
            }
            measured.append(means)
            name = member.settings.name
            if name in self.diverged:
                continue
            finite = np.isfinite([*means.values(), 0.0 if loss is None else loss]).all()
            if finite:
                more = {} if loss is None else {"train/batch_loss": loss}
                member.append(self.sequences, values, more)
                continue
            self.diverged.add(name)
            self.note(f"{name}: the loss is no longer finite at {self.sequences:,} sequences")
        for observer in self.observers:
            observer.evaluated(self.sequences, measured)
        if len(self.diverged) == len(self.folders):
            raise TrainingError(
                f"the loss is no longer finite at {self.sequences:,} sequences; lower "
                "optimisation.lr or set optimisation.clip_norm"
            )

    def measure(self) -> None:
        """Measure the circuits of every member and write it down."""
        measures = self.ensemble.measure_circuits()
        for i, member in enumerate(self.folders):
            if member.settings.name not in self.diverged:
                member.append_measures(self.sequences, measures.as_columns(i))

    def checkpoint(self, *, keep: bool, attended: bool = True) -> None:
        """Write a checkpoint, and say so where it cannot be written.

        ``attended`` says whether the event at this step, if there is one, was attended to: a run
        stopped just before one must evaluate when it continues.
        """
        settings = self.ensemble.members[0].run
        try:
            write_checkpoint(
                self.folder,
                self.sequences,
                self.ensemble.state(),
                kept=keep,
                about={
                    "seconds": self.seconds,
                    "device": str(self.ensemble.device),
                    "attended": attended,
                    "diverged": sorted(self.diverged),
                },
            )
        except OSError as error:
            last, _ = newest_checkpoint(self.folder)
            reached = "none is there" if last is None else f"the last is at {last.sequences:,}"
            here = f"no checkpoint could be written at {self.sequences:,} sequences"
            self.note(f"{here} ({error}); {reached}")
            return
        prune(self.folder, settings.keep_checkpoints)
