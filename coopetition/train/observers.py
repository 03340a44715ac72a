"""Observers of a run: the progress bar, TensorBoard, Weights & Biases."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..settings.training import TrainingSettings

SHOWN = ("train", "icl", "ciwl", "flip")  # accuracies beside the progress bar

Means = Mapping[str, float]  # evaluator/metric: mean


class Observer(Protocol):
    """Receives the progress of a run, which it must not change."""

    def evaluated(self, sequences: int, members: Sequence[Means]) -> None:
        """Receive each member's measurements."""

    def advanced(self, sequences: int) -> None:
        """Receive the number of sequences seen in all."""
        return

    def note(self, text: str) -> None:
        """Receive a sentence for the user."""

    def close(self) -> None:
        """Finish."""


class ProgressBar(Observer):
    """A bar on stderr with sequences/s, the time left and the present accuracies."""

    def __init__(self, total: int, start: int, name: str) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            total=total, initial=start, desc=name, unit="seq", unit_scale=True,
            file=sys.stderr, dynamic_ncols=True, mininterval=0.5,
        )  # fmt: skip

    def evaluated(self, sequences: int, members: Sequence[Means]) -> None:
        """Show the accuracies, averaged over the members."""
        accuracies = {}
        for evaluator in SHOWN:
            values = [m[f"{evaluator}/in_context_acc"] for m in members if f"{evaluator}/acc" in m]
            if values:
                accuracies[evaluator] = f"{np.mean(values):.2f}"
        self.bar.set_postfix(accuracies, refresh=True)

    def advanced(self, sequences: int) -> None:
        """Move the bar."""
        self.bar.update(sequences - self.bar.n)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def require_extras(members: Sequence[TrainingSettings]) -> None:
    """Refuse settings that name a logger whose package is not installed."""
    for package, setting in (("tensorboard", "tensorboard"), ("wandb", "wandb_project")):
        for value in (getattr(member.run, setting) for member in members):
            if value and importlib.util.find_spec(package) is None:
                raise ValueError(
                    f"run.{setting} = {value!r}: {package} is not installed; "
                    f"pip install 'coopetition[{package}]'"
                )


class TensorBoard(Observer):
    """Scalars in ``RUN/tensorboard/MEMBER`` (extra ``coopetition[tensorboard]``)."""

    def __init__(self, folder: Path, members: Sequence[TrainingSettings]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        make: Any = SummaryWriter
        self.writers = [make(str(folder / "tensorboard" / m.name)) for m in members]

    def evaluated(self, sequences: int, members: Sequence[Means]) -> None:
        """Write every mean against sequences."""
        for writer, means in zip(self.writers, members, strict=True):
            for name, value in means.items():
                writer.add_scalar(name, value, sequences)

    def note(self, text: str) -> None:
        """Keep the sentence with the run."""
        self.writers[0].add_text("note", text)

    def close(self) -> None:
        """Flush."""
        for writer in self.writers:
            writer.close()


class WeightsAndBiases(Observer):
    """One W&B run a member, resumed under the same id (extra ``coopetition[wandb]``)."""

    def __init__(self, folder: Path, members: Sequence[TrainingSettings]) -> None:
        import wandb

        self.runs = [
            wandb.init(
                project=m.run.wandb_project,
                name=m.name,
                id=f"{folder.resolve().name}-{m.name}-{m.run.seed}",
                resume="allow",
                reinit="create_new",
                config=m.model_dump(mode="json"),
                dir=str(folder),
            )
            for m in members
        ]

    def evaluated(self, sequences: int, members: Sequence[Means]) -> None:
        """Log every mean against sequences."""
        for run, means in zip(self.runs, members, strict=True):
            run.log({**means, "sequences": sequences})

    def note(self, text: str) -> None:
        """Keep the sentence with the run."""
        self.runs[0].summary["note"] = text

    def close(self) -> None:
        """Finish the runs."""
        for run in self.runs:
            run.finish()


def observers_of(
    members: Sequence[TrainingSettings], folder: Path, *, start: int, progress: bool
) -> list[Observer]:
    """The observers that the settings of the first member and ``progress`` ask for."""
    first = members[0]
    observers: list[Observer] = []
    if first.run.tensorboard:
        observers.append(TensorBoard(folder, members))
    if first.run.wandb_project:
        observers.append(WeightsAndBiases(folder, members))
    if progress:
        name = first.name if len(members) == 1 else f"{len(members)} runs"
        observers.append(ProgressBar(first.run.sequences, start, name))
    return observers
