"""Phase diagrams: over a grid of parameters, whether ICL emerges and whether it lasts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, ReadOnlyArrays, graded_grid
from ..curves.landmarks import landmarks_of_paths
from ..curves.verdicts import VERDICTS, verdicts_of_paths
from ..errors import unknown_name
from ..seeds import stream
from .arguments import MAX_STEPS, check_at_least_1, check_positive
from .integration import integrate_many
from .model import Model
from .readout import ACCURACY, SHARED_FLIP, Readout, read
from .starts import Start, random_start
from .trajectory import Trajectories

_STEPS = 400  # between samples
_BEND = 50.0  # times the smallest n_v, a sub-circuit's time to learn: ICL takes longer to come
_CHUNK = 2048  # trajectories held in memory at once
_MOST = 10_000_000  # points of a grid, whose table then takes a gigabyte
MEASURES = (*VERDICTS, "emergence", "peak_flip", "crossover", "vanishing")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Phase(ReadOnlyArrays):
    """What happens over a grid of parameters.

    Each of `MEASURES` has shape ``(len(axis) for each axis)``: the share of starts with that
    verdict, or the median over the starts of a time (inf where the event happens for fewer than
    half of them) or of the highest flip accuracy.
    """

    model: str
    axes: Mapping[str, Array]  # the values along each axis, by parameter
    fixed: Mapping[str, float]
    horizon: float  # *persistent* means until this time
    starts: int
    readout: Readout
    measures: Mapping[str, Array] = dataclasses.field(repr=False)  # NaN where all starts failed
    # share of trajectories that did not reach the horizon; the measures leave them out
    failed: Array = dataclasses.field(repr=False)

    def columns(self) -> dict[str, Array]:
        """The diagram as a long table: parameters, measures, failed; one row a grid point."""
        grid = np.meshgrid(*self.axes.values(), indexing="ij")
        columns = dict(zip(self.axes, grid, strict=True)) | {n: self.measures[n] for n in MEASURES}
        columns["failed"] = self.failed
        return {name: values.ravel() for name, values in columns.items()}

    def summary(self) -> str:
        """How much of the grid has which majority verdict."""
        shares = np.stack([self.measures[name] for name in VERDICTS])
        known = np.isfinite(shares[0])
        leading = np.argmax(shares[:, known], axis=0)
        counts = [int(np.sum(leading == k)) for k in range(3)]
        return (
            f"{self.model} to time {self.horizon:g}, {self.starts} start(s): of {known.size} "
            f"points ICL is persistent at {counts[0]}, transient at {counts[1]}, "
            f"never there at {counts[2]}"
            + (f"; {np.mean(self.failed):.1%} of trajectories failed" if self.failed.any() else "")
        )


def parse_axis(text: str) -> Array:
    """The values of ``0.1``, ``0.1,0.3,1``, ``log:1e-3:1:64`` or ``lin:0:1:11``.

    Examples
    --------
    >>> parse_axis("log:0.01:1:3").tolist()
    [0.01, 0.1, 1.0]
    """
    usage = "use a number, a list 0.1,0.3, lin:FROM:TO:COUNT or log:FROM:TO:COUNT"
    try:
        if not text.startswith(("log:", "lin:")):
            return np.array([float(part) for part in text.split(",")])
        kind, first, last, count = text.split(":")
        low, high, size = float(first), float(last), int(count)
    except ValueError:
        raise ValueError(f"cannot read the values {text!r}: {usage}") from None
    if size < 2 or not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"the values {text!r} need finite ends and a count of at least 2: {usage}")
    if size > _MOST:
        raise ValueError(f"the values {text!r} are too many: take at most {_MOST:,}")
    if kind == "lin":
        return np.linspace(low, high, size)
    if low <= 0 or high <= 0:
        raise ValueError(
            f"{min(low, high):g} in {text!r} has no logarithm: give log: positive ends, "
            f"or write lin:{first}:{last}:{count}"
        )
    return np.geomspace(low, high, size)


def phase(
    model: Model,
    axes: Mapping[str, Array],
    *,
    fixed: Mapping[str, float] | None = None,
    starts: int = 8,
    until: float = 16000.0,
    readout: Readout = SHARED_FLIP,
    seed: int = 0,
    rtol: float = 1e-6,
    max_steps: int = 4 * MAX_STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> Phase:
    """Follow ICL over a grid of parameters, in a model with the strategies ``icl`` and ``ciwl``.

    ``axes`` are the values of each varied parameter. The ``starts`` random starts (standard normal
    vectors and targets, drawn with ``seed``) are the same at every grid point. Curves are linear
    between samples, which are close at first and later about a fiftieth of the time apart, so that
    early events are seen whatever the horizon ``until``. ``progress`` is called with the
    trajectories done and their total number.
    """
    if not {"icl", "ciwl"} <= set(model.strategy_names):
        raise ValueError(f"model {model.name!r} has no strategies icl and ciwl, so no flip to map")
    if not axes:
        raise ValueError("a phase diagram needs at least one axis, e.g. mu1=log:1e-3:1:32")
    check_at_least_1("starts", starts)
    check_positive("until", until, "a positive time")
    known = [*model.parameters, *(f"{kind}_{v}" for kind in ("n", "S") for v in model.vectors)]
    for name in (*axes, *(fixed or {})):
        if name not in known:
            raise unknown_name(f"parameter of {model.name}", name, known)
    points = math.prod(len(values) for values in axes.values())
    if points > _MOST:
        sizes = " x ".join(f"{name}: {len(values):,}" for name, values in axes.items())
        raise ValueError(
            f"a grid of {points:,} points ({sizes}) is too large: take at most {_MOST:,} in all"
        )
    random_starts = [random_start(model, stream(seed, f"start/{k}")) for k in range(starts)]
    grid = np.stack([g.ravel() for g in np.meshgrid(*axes.values(), indexing="ij")])
    chunk = max(1, _CHUNK // starts)
    tables: list[Array] = []
    for first in range(0, points, chunk):
        part = grid[:, first : first + chunk]
        parameters = {**(fixed or {}), **dict(zip(axes, part, strict=True))}
        trajectories = _integrate_points(
            model, parameters, random_starts, part.shape[1],
            until=until, rtol=rtol, max_steps=max_steps,
        )  # fmt: skip
        tables.append(_measures(trajectories, model.strategy_names, readout, starts))
        if progress is not None:
            progress((first + part.shape[1]) * starts, points * starts)
    table = np.concatenate(tables, axis=1).reshape(-1, *map(len, axes.values()))
    return Phase(
        model=model.name,
        axes={name: np.array(values) for name, values in axes.items()},
        fixed=dict(fixed or {}),
        horizon=float(until),
        starts=starts,
        readout=readout,
        measures=dict(zip(MEASURES, table, strict=False)),
        failed=table[-1],
    )


def sample_times(model: Model, until: float) -> Array:
    """The sampling times of a diagram's curves, ``(time,)``."""
    return graded_grid(until, _BEND * min(model.dimensions.values()), _STEPS)


def _integrate_points(
    model: Model, point_parameters: Mapping[str, Array | float], starts: list[Start], points: int,
    *, until: float, **options: Any,
) -> Trajectories:  # fmt: skip
    """Each start in turn at each grid point, whose parameters override those of the start."""
    parameters: dict[str, Array | float] = {
        name: np.tile([s.parameters[name] for s in starts], points) for name in starts[0].parameters
    }
    for name, values in point_parameters.items():
        parameters[name] = np.repeat(values, len(starts)) if np.ndim(values) else values
    return integrate_many(
        model,
        parameters=parameters,
        starts=np.tile([s.state for s in starts], (points, 1)),
        until=until,
        times=sample_times(model, until),
        **options,
    )


def _measures(
    trajectories: Trajectories, strategies: Sequence[str], readout: Readout, starts: int
) -> Array:
    """The measures of grid points, then the share of failures: ``(measure + 1, point)``."""
    flip, icl = (
        read((evaluator, ACCURACY), trajectories.outputs, strategies, readout).value
        for evaluator in ("flip", "icl")
    )
    verdicts = verdicts_of_paths(flip)
    measures: dict[str, NDArray[Any]] = {name: verdicts == i for i, name in enumerate(VERDICTS)}
    measures |= landmarks_of_paths(trajectories.times, flip, icl)
    ok = trajectories.ok.reshape(-1, starts)
    known = ok.any(axis=1)
    table = np.full((len(MEASURES) + 1, len(ok)), np.nan)
    for row, name in zip(table, MEASURES, strict=False):
        values = np.where(ok, measures[name].reshape(-1, starts), np.nan)[known]
        row[known] = (np.nanmean if name in VERDICTS else np.nanmedian)(values, axis=1)
    table[-1] = 1.0 - ok.mean(axis=1)
    return table
