"""Curves against sequences seen, in the same form from logs and from models.

A `Curve` is one metric of one evaluator of one run; `Curves` are all of a run, with their source.
On disk they are one tidy table: ``run, evaluator, metric, sequences, value[, sem, n]``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import ReadOnlyArrays
from ..errors import unknown_name

if TYPE_CHECKING:
    import pandas as pd

EVALUATORS = ("train", "icl", "ciwl", "flip", "iwl")
TABLE_COLUMNS = ("run", "evaluator", "metric", "sequences", "value", "sem", "n")
ACCURACIES = ("in_context_acc", "acc", "out_context_acc")
PROBABILITIES = ("in_context_prob", "prob", "out_context_prob", "use_context_prob")
METRICS = (*ACCURACIES, *PROBABILITIES, "loss", "batch_loss")
_ARRAYS = ("sequences", "values", "sem", "n")  # fields of a curve
# the reference's names of the evaluators, as they stand in its log.h5 and in its W&B runs
REFERENCE_EVALUATORS = {
    "train_eval": "train",
    "icl": "icl",
    "iwl_copy_avail": "ciwl",
    "flip_icl": "flip",
    "pure_iwl": "iwl",
}
EVALUATOR_NAMES = {**{name: name for name in EVALUATORS}, **REFERENCE_EVALUATORS}


def known_evaluator(name: str) -> str:
    """Our name of an evaluator written in capitals or as the reference does; others unchanged."""
    return EVALUATOR_NAMES.get(name.strip().lower(), name.strip())


def lasting_evaluator(name: str) -> str:
    """The name; a `ValueError` if a log that holds it would be read back under another."""
    if known_evaluator(name) != name:
        raise ValueError(
            f"evaluator {name!r} would be read back as {known_evaluator(name)!r}: rename it"
        )
    return name


def headline_metric(evaluator: str) -> str:
    """The metric an evaluator is read by."""
    # pure in-weights learning answers with a label that is not among those in context
    return "acc" if evaluator == "iwl" else "in_context_acc"


def head_start(settings: Mapping[str, Any]) -> float:
    """Sequences of CIWL-only training before the run, as in ``ciwl_only at 4e6``; 0 if none."""
    start = settings.get("start")
    if isinstance(start, str) and start.startswith("ciwl_only at "):
        return float(start.removeprefix("ciwl_only at "))
    return 0.0


def read_only(values: ArrayLike) -> NDArray[np.float64]:
    """A float64 copy that cannot be written to."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Curve(ReadOnlyArrays):
    """One metric of one evaluator against sequences seen.

    Parameters
    ----------
    evaluator
        ``train``, ``icl``, ``ciwl``, ``flip``, ``iwl`` or a user's own.
    metric
        ``in_context_acc``, ``loss``, ``acc``, …
    sequences
        Training sequences seen, strictly increasing, shape ``(points,)``.
    values
        The metric, shape ``(points,)``; losses in nats, accuracies in [0, 1].
    sem
        Standard error of each value, shape ``(points,)``, or None where unknown.
    n
        Number of sequences evaluated for each value, shape ``(points,)``, or None.

    Raises
    ------
    ValueError
        If shapes differ, or ``sequences`` is not finite or does not increase.
    """

    evaluator: str
    metric: str
    sequences: NDArray[np.float64]
    values: NDArray[np.float64]
    sem: NDArray[np.float64] | None = None
    n: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        name = f"curve {self.evaluator}/{self.metric}"
        points = (np.size(self.sequences),)
        for field in _ARRAYS:
            if getattr(self, field) is None:
                continue
            array = read_only(getattr(self, field))
            if array.shape != points:
                raise ValueError(
                    f"{field} of {name} has shape {array.shape}, expected {points} as sequences"
                )
            object.__setattr__(self, field, array)
        if not np.all(np.isfinite(self.sequences)):
            raise ValueError(
                f"sequences of {name} must be finite: leave out points without a sequence count"
            )
        if np.any(np.diff(self.sequences) <= 0):
            raise ValueError(
                f"sequences of {name} must strictly increase; sort the rows and drop repeated ones"
            )

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def label(self) -> str:
        """The evaluator's name for its `headline_metric`, ``evaluator/metric`` for any other."""
        plain = self.metric == headline_metric(self.evaluator)
        return self.evaluator if plain else f"{self.evaluator}/{self.metric}"

    def until(self, sequences: float) -> Curve:
        """The part of the curve up to and with ``sequences``."""
        return self.take(self.sequences <= sequences)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Curve:
        """The points that ``keep`` (a mask or increasing indices) selects."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        chosen = {name: array[keep] for name, array in arrays.items() if array is not None}
        return dataclasses.replace(self, **chosen)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """All curves of one run, and where they came from.

    Parameters
    ----------
    run
        The run's name.
    curves
        The curves by ``(evaluator, metric)``.
    settings
        The run's training settings as far as known.
    source
        Provenance: at least ``path`` and ``sha256`` where the curves were read from a file (also
        ``columns`` if a user named them, and ``run`` if the file holds several), or ``model`` and
        ``parameters`` where a model made them.
    notes
        What a reader had to handle, a sentence each: rows dropped, per cent divided by 100, …
    """

    run: str
    curves: Mapping[tuple[str, str], Curve]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Curve]:
        return iter(self.curves.values())

    def __len__(self) -> int:
        return len(self.curves)

    @property
    def evaluators(self) -> tuple[str, ...]:
        """The evaluators present, in the order of `EVALUATORS`, others after them."""
        present = dict.fromkeys(evaluator for evaluator, _ in self.curves)
        known = [name for name in EVALUATORS if name in present]
        return (*known, *(name for name in present if name not in EVALUATORS))

    @property
    def last_sequence(self) -> float:
        """The last sequence count of any curve; 0 where there is no point."""
        return max((float(c.sequences[-1]) for c in self if len(c)), default=0.0)

    def curve(self, evaluator: str, metric: str = "in_context_acc") -> Curve:
        """The curve of one evaluator and metric.

        Raises
        ------
        ValueError
            If the run has no such curve; the message names those it has.
        """
        if (evaluator, metric) not in self.curves:
            have = (f"{e}/{m}" for e, m in self.curves)
            raise unknown_name(f"curve of run {self.run}", f"{evaluator}/{metric}", have)
        return self.curves[evaluator, metric]

    def accuracy(self, evaluator: str) -> Curve | None:
        """The evaluator's accuracy: its `headline_metric`, else ``acc``; None where neither is."""
        for metric in (headline_metric(evaluator), "acc"):
            if (evaluator, metric) in self.curves:
                return self.curves[evaluator, metric]
        return None

    def until(self, sequences: float) -> Curves:
        """Every curve cut after ``sequences``; curves without a point left are dropped."""
        cut = {key: curve.until(sequences) for key, curve in self.curves.items()}
        return dataclasses.replace(self, curves={k: c for k, c in cut.items() if len(c)})

    def finite(self) -> Curves:
        """The curves without NaN and infinite values, which the notes count."""
        curves, notes = {}, []
        for key, curve in self.curves.items():
            finite = np.isfinite(curve.values)
            if not np.all(finite):
                count = f"{np.sum(~finite)} of {len(finite)} values"
                notes.append(f"{curve.label}: {count} are no numbers and were left out")
                curve = curve.take(finite)
            if len(curve):
                curves[key] = curve
        return dataclasses.replace(self, curves=curves, notes=(*self.notes, *notes))

    def to_table(self) -> pd.DataFrame:
        """The curves as a tidy table with the columns `TABLE_COLUMNS`."""
        import pandas as pd

        blocks = [
            pd.DataFrame(
                {
                    "run": self.run,
                    "evaluator": curve.evaluator,
                    "metric": curve.metric,
                    "sequences": curve.sequences,
                    "value": curve.values,
                    "sem": np.nan if curve.sem is None else curve.sem,
                    "n": np.nan if curve.n is None else curve.n,
                }
            )
            for curve in self
        ]
        if not blocks:
            return pd.DataFrame(columns=list(TABLE_COLUMNS))
        return pd.concat(blocks, ignore_index=True)


def one_run(curves: object) -> Curves:
    """The curves of one run; a `ValueError` for anything else."""
    if isinstance(curves, Curves):
        return curves
    if isinstance(curves, str | os.PathLike):
        path = str(curves)
        raise ValueError(f"curves = {path!r}: read the log first, read_curves({path!r})[0]")
    raise ValueError(
        f"curves must be those of one run, not a {type(curves).__name__}: give one of the runs, "
        "such as read_curves(...)[0]"
    )


def runs_in(curves: Curves | Iterable[Curves]) -> list[Curves]:
    """One run or several as a list; a `ValueError` for anything else."""
    several = isinstance(curves, Iterable) and not isinstance(curves, Curves | str)
    return [one_run(run) for run in (curves if several else [curves])]
