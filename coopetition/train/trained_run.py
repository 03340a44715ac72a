"""The result of training one network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..curves.curve import Curves, headline_metric
from ..settings.training import TrainingSettings


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """A run that has come to its end.

    Parameters
    ----------
    folder
        Where it is.
    settings
        Its settings.
    sequences
        Training sequences seen.
    seconds
        Time it took, evaluations included and interruptions left out; of the whole ensemble.
    diverged
        Whether its loss ceased to be finite; its curves end before.
    curves
        What was measured.
    peak_memory
        Most bytes of a GPU's memory taken, by the whole ensemble; None on a CPU.
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
        """What the run came to, in a few lines."""
        peak = self.peak_memory
        memory = "" if peak is None else f", at most {peak / 1e9:.2f} GB of GPU memory"
        final = ", ".join(f"{name} {value:.3f}" for name, value in self.final().items())
        return (
            f"{self.settings.name}: {self.sequences:,} sequences in {self.seconds:.1f} s "
            f"({self.sequences_per_second:,.0f}/s){memory}"
            f"{', diverged' if self.diverged else ''}\n"
            f"final accuracy: {final}\nfolder: {self.folder}"
        )
