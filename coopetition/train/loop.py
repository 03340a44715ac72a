"""The training loop, from start or checkpoint to end: steps, evaluations, checkpoints, stops."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..curves.curve import Curves, headline_metric
from ..errors import Interrupted, TrainingError
from ..logs import read_curves
from ..settings.training import TrainingSettings
from .compute.devices import choose_device, cpu_threads
from .compute.gpu.capture import STRETCH
from .compute.gpu.memory import forget_peak, memory_explained, peak_memory
from .ensemble import Ensemble
from .folder.checkpoints import newest_checkpoint, prune, write_checkpoint
from .folder.ensemble_folder import (
    begin,
    computed_with,
    continued_settings,
    holds_run,
    new_paths,
    reopen,
)
from .folder.ownership import owned
from .folder.run_folder import RunFolder
from .interruption import Interruption
from .observers import Observer, observers_of, require_extras


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """The result of training one network.

    Parameters
    ----------
    folder
        The run's folder.
    settings
        The run's settings.
    sequences
        Training sequences seen.
    seconds
        Training time of the whole ensemble, with evaluations, without interruptions.
    diverged
        Whether the loss ceased to be finite, where the curves end.
    curves
        The measured curves.
    peak_memory
        Peak of GPU memory, in bytes, of the whole ensemble; None on a CPU.
    """

    folder: Path
    settings: TrainingSettings
    sequences: int
    seconds: float
    diverged: bool
    curves: Curves
    peak_memory: int | None = None

    @property
    def sequences_per_second(self) -> float:
        """Speed over the whole run."""
        return self.sequences / self.seconds if self.seconds > 0 else 0.0

    def final(self) -> dict[str, float]:
        """Each evaluator's last accuracy: ``acc`` for ``iwl``, else ``in_context_acc``."""
        return {
            curve.evaluator: float(curve.values[-1])
            for curve in self.curves
            if curve.metric == headline_metric(curve.evaluator)
        }

    def summary(self) -> str:
        """Speed, final accuracies and folder, in a few lines."""
        peak = self.peak_memory
        memory = "" if peak is None else f", at most {peak / 1e9:.2f} GB of GPU memory"
        final = ", ".join(f"{name} {value:.3f}" for name, value in self.final().items())
        return (
            f"{self.settings.name}: {self.sequences:,} sequences in {self.seconds:.1f} s "
            f"({self.sequences_per_second:,.0f}/s){memory}"
            f"{', diverged' if self.diverged else ''}\n"
            f"final accuracy: {final}\nfolder: {self.folder}"
        )


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
        Settings of one run, or of several that differ in seeds and numbers only. With ``resume``
        an empty sequence stands for the settings in the folder.
    folder
        The run's folder; an ensemble's members have folders below it, by name.
    resume
        Continue the run in the folder from its newest whole checkpoint, or begin it where there is
        none. On the same device and thread count the curves are bitwise those of a run that was
        never interrupted.
    device
        ``auto``, ``cpu``, ``cuda``, …
    progress
        Whether to show a progress bar on stderr.
    observers
        Observers besides the progress bar and those that the settings name.
    about
        Further entries of ``run.json``, such as the command; a continued run has them in a new
        entry under ``continued``.

    Returns
    -------
    tuple of TrainedRun
        One for each member.

    Raises
    ------
    ValueError
        If the settings contradict each other, or the folder holds a run that is not continued.
    CheckpointError
        If the run cannot be continued.
    TrainingError
        If the run is interrupted (it leaves a checkpoint), the loss of every member ceases to be
        finite, or the folder cannot be written to.
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
    continuing = resume and holds_run(folder)
    if continuing:
        members = continued_settings(folder, members)
    else:
        new_paths(folder, members)
    where = choose_device(device)
    require_extras(members)
    with cpu_threads(members[0].run.threads if members else 0):
        ensemble = Ensemble(members, where)
        forget_peak(where)
        need, count = ensemble.memory_need(), len(members)
        folders = reopen(folder, ensemble) if continuing else begin(folder, ensemble, about or {})
        run = Run(folder, ensemble, folders)
        notes = run.continue_from_newest() if continuing else ()
        events_due = run.due()
        if continuing and events_due:
            start = {"from_sequences": run.sequences, **computed_with(ensemble), **(about or {})}
            for member in folders:
                member.record(start, continued=True)
        own = observers_of(members, folder, start=run.sequences, progress=progress)
        run.observers = [*observers, *own]
        try:
            for note in notes:
                run.note(note)
            ensemble.capture(STRETCH, run.note)
            if where.type != "cpu":
                run.note(ensemble.summary())
            with Interruption() as interruption, memory_explained(need, count, where):
                for event in events_due:
                    run.advance_to(event.step, interruption)
                    run.attend(event)
            peak = peak_memory(where)
            if peak is not None and events_due:
                for member in folders:
                    member.record({**ensemble.computed_by(), "gpu_memory_peak_bytes": peak})
        finally:
            ensemble.captured = None  # frees its graphs' memory for a next run in this process
            for observer in run.observers:
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
    """Work due after ``step`` optimizer steps, in this order."""

    step: int
    evaluate: bool
    measure: bool
    checkpoint: bool
    keep: bool  # never remove the checkpoint


def events(settings: TrainingSettings) -> tuple[Event, ...]:
    """All events of a run in order, those at its start (step 0) and end included.

    A sequence count that is no multiple of the batch size is rounded up to one.
    """
    batch, total = settings.optimisation.batch_size, settings.run.sequences
    last = -(-total // batch)

    def steps_of(counts: Iterable[int]) -> set[int]:
        return {-(-count // batch) for count in counts if count <= last * batch}

    def regular(every: int) -> set[int]:
        return steps_of(range(0, total, every)) | {last} if every else set()

    evaluate = regular(settings.evaluation.every) | steps_of(settings.evaluation.at)
    measure = regular(settings.run.measures_every)
    keep = steps_of(settings.run.checkpoint_at) | {last}
    checkpoint = (regular(settings.run.checkpoint_every) - {0}) | keep
    return tuple(
        Event(
            step=step,
            evaluate=step in evaluate,
            measure=step in measure,
            checkpoint=step in checkpoint,
            keep=step in keep,
        )
        for step in sorted({0} | evaluate | measure | checkpoint)
    )


class Run:
    """An ensemble in training. Mutable: this is the hot loop."""

    def __init__(self, folder: Path, ensemble: Ensemble, folders: Sequence[RunFolder]) -> None:
        self.folder, self.ensemble, self.folders = folder, ensemble, folders
        self.observers: Sequence[Observer] = ()
        self.batch_size = ensemble.members[0].optimisation.batch_size
        self.step, self.seconds = 0, 0.0
        self.fresh = True  # the event at the present step is still to come
        self.diverged: set[str] = set()

    @property
    def sequences(self) -> int:
        """Training sequences each member has seen."""
        return self.step * self.batch_size

    def note(self, text: str) -> None:
        """Pass a sentence on to the user."""
        for observer in self.observers:
            observer.note(text)

    def continue_from_newest(self) -> tuple[str, ...]:
        """Load the newest whole checkpoint and drop later measurements; notes for the user."""
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
        """The events still to come."""
        first = self.step if self.fresh else self.step + 1
        return tuple(e for e in events(self.ensemble.members[0]) if e.step >= first)

    def advance_to(self, step: int, interruption: Interruption) -> None:
        """Take steps up to ``step``; on interruption write a checkpoint and raise Interrupted."""
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
        """Evaluate, measure and checkpoint as the event says."""
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
        """Evaluate every member and record its values, up to a loss that is not finite."""
        losses, evaluations = self.ensemble.take_loss(), self.ensemble.evaluate()
        member_means = []
        for member, values, loss in zip(self.folders, evaluations, losses, strict=True):
            means = {
                f"{evaluator}/{metric}": float(array.mean())
                for evaluator, by_metric in values.items()
                for metric, array in by_metric.items()
            }
            member_means.append(means)
            name = member.settings.name
            if name in self.diverged:
                continue
            if np.isfinite([*means.values(), 0.0 if loss is None else loss]).all():
                more = {} if loss is None else {"train/batch_loss": loss}
                member.append(self.sequences, values, more)
            else:
                self.diverged.add(name)
                self.note(f"{name}: the loss is no longer finite at {self.sequences:,} sequences")
        for observer in self.observers:
            observer.evaluated(self.sequences, member_means)
        if len(self.diverged) == len(self.folders):
            raise TrainingError(
                f"the loss is no longer finite at {self.sequences:,} sequences; lower "
                "optimisation.lr or set optimisation.clip_norm"
            )

    def measure(self) -> None:
        """Measure and record the circuits of every member."""
        measures = self.ensemble.measure_circuits()
        for i, member in enumerate(self.folders):
            if member.settings.name not in self.diverged:
                member.append_measures(self.sequences, measures.as_columns(i))

    def checkpoint(self, *, keep: bool, attended: bool = True) -> None:
        """Write a checkpoint, or a note where that fails.

        ``attended`` is false before the event at this step, which is then due on continuing.
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
            state = "none exists" if last is None else f"the last is at {last.sequences:,}"
            failure = f"no checkpoint could be written at {self.sequences:,} sequences"
            self.note(f"{failure} ({error}); {state}")
        else:
            prune(self.folder, settings.keep_checkpoints)
