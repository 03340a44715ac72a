"""The ``log.h5`` that the reference implementation (aadityasingh/icl-dynamics) writes.

Its metrics are arrays (evaluation, sequence), accuracies as booleans; ``eval_iter`` counts training
sequences. They are read in blocks of evaluations: a long run holds gigabytes of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import METRICS, REFERENCE_EVALUATORS
from ..errors import LogError, unknown_name
from ..files import foreign_parser, held_data
from .columns import Columns, Key
from .restarts import RawCurve, RawRun

if TYPE_CHECKING:
    import h5py

BLOCK_BYTES = 4 * 2**20  # of per-sequence values in memory at once


def raw_reference_run(path: Path, columns: Columns | None) -> tuple[RawRun, dict[str, Any]]:
    """The run in a ``log.h5``, and its settings from ``config.json`` beside it."""
    import h5py

    from ..settings.names import settings_of_reference

    config, notes = _config(path)
    name = str(config.get("run") or path.resolve().parent.name)
    with (
        foreign_parser(path, "HDF5 file"),
        # a run that is still being written holds a lock; reading beside it is harmless
        h5py.File(path, "r", locking=False) as log,
    ):
        _refuse_external_data(log, path)
        if "eval_iter" not in log:
            have = ", ".join(list(log)[:20]) or "nothing"
            raise LogError(f"{path} has no eval_iter (but {have}): not a log of the reference")
        iterations = np.asarray(held_data(log["eval_iter"])[:], dtype=np.float64)
        if not len(iterations):
            raise LogError(f"{path} holds no evaluation yet; wait for the first")
        restarts = _restarts(iterations, log)
        sequences = iterations * _batch_size(log, config, columns, notes)
        curves = tuple(
            _curve(log[group][key[1]], key, sequences, restarts, notes)
            for key, group in _groups(log, columns, path).items()
        )
    settings = settings_of_reference(config) if config else {}
    return RawRun(name=name, curves=curves, notes=tuple(dict.fromkeys(notes))), settings


def _refuse_external_data(log: h5py.File, path: Path) -> None:
    """Refuse data in other files, which a log of the reference does not have."""
    import h5py

    names = list(log)
    for name in names:  # the loop appends what groups hold
        link = log.get(name, getlink=True)
        outside = isinstance(link, h5py.ExternalLink)
        if isinstance(link, h5py.HardLink):
            item = log[name]
            if isinstance(item, h5py.Group) and "/" not in name:
                names += [f"{name}/{each}" for each in item]
            outside = isinstance(item, h5py.Dataset) and bool(item.external or item.is_virtual)
        if outside:
            raise LogError(f"{path}: {name} lies in another file; copy it into the log")


def _config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of ``config.json`` beside the log, and a note if it is missing."""
    beside = path.parent / "config.json"
    if not beside.exists():
        return {}, [f"no {beside.name} beside the log: the settings are not known"]
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LogError(f"{beside} is not JSON: {error}; repair it or move it away") from None
    if not isinstance(config, dict):
        raise LogError(f"{beside} is not a JSON object; repair it or move it away")
    return config, []


def _batch_size(
    log: h5py.File, config: dict[str, Any], columns: Columns | None, notes: list[str]
) -> float:
    """Sequences in one iteration: 1, as the reference counts, unless the log shows steps."""
    if columns is not None and columns.batch_size != 1:
        return columns.batch_size
    batch_size = config.get("train_bs")
    steps = list(log["train_iter"][:2]) if "train_iter" in log else []
    if batch_size and batch_size > 1 and len(steps) == 2 and steps[1] - steps[0] == 1:
        notes.append(f"iterations count optimizer steps here: multiplied by {batch_size} sequences")
        return float(batch_size)
    return 1.0


def _groups(log: h5py.File, columns: Columns | None, path: Path) -> dict[Key, str]:
    """The group of each evaluator and metric."""
    import h5py

    groups = [name for name in log if isinstance(log[name], h5py.Group)]
    by_user = dict(columns.curves) if columns is not None else {}
    names = {g: REFERENCE_EVALUATORS.get(g, g) for g in groups if g not in by_user.values()}
    for (evaluator, _), group in by_user.items():
        if group not in groups:
            raise unknown_name(f"group in {path}", group, groups)
        names = {g: e for g, e in names.items() if e != evaluator} | {group: evaluator}
    group_of = {(e, m): g for g, e in names.items() for m in METRICS if m in log[g]}
    if not group_of:
        raise LogError(f"{path} has no evaluator (groups: {', '.join(groups) or 'none'})")
    return group_of


def _restarts(iterations: NDArray[np.float64], log: h5py.File) -> NDArray[np.intp] | None:
    """Evaluations that are the first after training was resumed; None where the log cannot tell.

    Training resumed before the last evaluation repeats it. Training resumed after it leaves a gap
    in the training steps, which are written with the evaluation that follows them.
    """
    repeats = np.flatnonzero(np.diff(iterations) <= 0) + 1
    trained = np.asarray(log["train_iter"][:] if "train_iter" in log else [], dtype=np.float64)
    if len(repeats):
        return repeats
    if len(trained) < 2 or trained[-1] < iterations[-1]:
        return None
    trained = np.concatenate([iterations[:1], trained])
    steps = np.diff(trained)
    gaps = trained[:-1][steps > 1.5 * np.median(steps)]
    return np.unique(np.searchsorted(iterations, gaps, side="right"))


def _curve(
    data: h5py.Dataset,
    key: Key,
    sequences: NDArray[np.float64],
    restarts: NDArray[np.intp] | None,
    notes: list[str],
) -> RawCurve:
    """Means over an evaluation's sequences and their standard errors, read in blocks of rows."""
    held_data(data)
    if data.ndim != 2:
        raise LogError(f"{data.name} has shape {data.shape}, expected (evaluation, sequence)")
    rows, n = data.shape
    if not n:
        raise LogError(f"{data.name} has no evaluation sequences; evaluate on at least one")
    block = max(1, BLOCK_BYTES // (8 * n))
    means, sems = np.empty(rows), np.empty(rows)
    for start in range(0, rows, block):
        values = np.asarray(data[start : start + block], dtype=np.float64)  # (block, n)
        means[start : start + block] = values.mean(axis=1)
        if n > 1:
            sems[start : start + block] = values.std(axis=1, ddof=1) / np.sqrt(n)
    at, row = _aligned(data.name.strip("/"), rows, len(sequences), restarts, notes)
    return RawCurve(
        evaluator=key[0],
        metric=key[1],
        sequences=sequences[at],
        values=means[row],
        sem=sems[row] if n > 1 else None,
        n=np.full(len(at), float(n)),
        rows=at,
    )


def _aligned(
    name: str, rows: int, count: int, restarts: NDArray[np.intp] | None, notes: list[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of evaluations, and of the rows of a metric that belong to them.

    Metrics are written before eval_iter, so a kill leaves them one row more: the last or, where
    training was resumed, the last before that.
    """
    at, surplus = np.arange(count), rows - count
    if surplus == 0:
        return at, at
    # before the first restart rows count from the start, from the last one on from the end
    first, last = (count, count) if restarts is None or not len(restarts) else restarts[[0, -1]]
    resumed = first < count
    if surplus < 0:
        at, row = (at[-rows:] if resumed else at[:rows]), np.arange(rows)
        how = f"aligned at the {'end' if resumed else 'start'}"
    else:
        at = at[(at < first) | (at >= last)]
        row = np.where(at < first, at, at + surplus)
        how = "aligned at the start"
        if resumed:
            how += " before it was resumed and at the end from there"
            how += f", {last - first} evaluations between left out" if last > first else ""
        elif restarts is None:
            how += "; if it was resumed since, values after the kill are an evaluation late"
    notes.append(
        f"{name} has {rows} rows for {count} evaluations (training was killed while writing): {how}"
    )
    return at, row
