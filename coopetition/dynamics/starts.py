"""The start of a trajectory: vectors and targets projected to the reduced state.

Of each vector v with target v* only x_v = v·v*/(|v*|√n_v) and the length of the rest,
y_v = √(|v|²/n_v − x_v²), enter the dynamics, and of the target only S_v = |v*|²/n_v.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, ReadOnlyArrays
from ..curves.curve import read_only
from ..errors import CoopetitionError
from ..files import foreign_parser, read_npy, require_sizes
from ..seeds import stream
from .model import Model

_MOST_BYTES = 2**27  # of the arrays of a start, unpacked


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Start(ReadOnlyArrays):
    """The reduced start of a trajectory.

    Parameters
    ----------
    state
        x_v and y_v of each vector in turn, shape ``(2·vectors,)``.
    parameters
        The parameters that the start fixes: ``S_v`` and ``n_v`` of each vector.
    description
        Its origin: a seed, a file.
    """

    state: Array
    parameters: Mapping[str, float]
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", read_only(self.state))


def project(
    model: Model,
    initial: Mapping[str, ArrayLike],
    target: Mapping[str, ArrayLike],
    *,
    description: str = "",
) -> Start:
    """The reduced start of full vectors.

    Parameters
    ----------
    model
        The model whose vectors they are.
    initial, target
        v and v* of each vector, shape ``(n_v,)`` each; the lengths override the model's dimensions.
    description
        The vectors' origin.

    Raises
    ------
    ValueError
        If a vector is missing, lengths differ, an entry is not finite or a target is zero.

    Examples
    --------
    >>> from coopetition.dynamics.catalogue import get
    >>> ones = {v: [1.0] * 4 for v in "abc"}
    >>> project(get("induction"), ones, ones).state.tolist()
    [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    """
    state: list[float] = []
    parameters: dict[str, float] = {}
    for vector in model.vectors:
        for kind, vectors in (("initial", initial), ("target", target)):
            if vector not in vectors:
                raise ValueError(f"{kind} vector {vector!r} of model {model.name!r} is missing")
        v = np.asarray(initial[vector], dtype=np.float64)
        w = np.asarray(target[vector], dtype=np.float64)
        if v.ndim != 1 or v.shape != w.shape or len(v) == 0:
            raise ValueError(
                f"vector {vector!r} has shape {v.shape} and its target {w.shape}; "
                "both must be one-dimensional and equally long"
            )
        if not (np.all(np.isfinite(v)) and np.all(np.isfinite(w)) and np.any(w)):
            raise ValueError(f"vector {vector!r} must be finite and its target not zero")
        n = len(v)
        along = w / np.linalg.norm(w)
        x = v @ along
        state += [float(x / np.sqrt(n)), float(np.linalg.norm(v - x * along) / np.sqrt(n))]
        parameters[f"S_{vector}"] = float(w @ w / n)
        parameters[f"n_{vector}"] = float(n)
    return Start(state=np.array(state), parameters=parameters, description=description)


def random_start(
    model: Model, rng: np.random.Generator, *, scale: float = 1.0, description: str = ""
) -> Start:
    """A start with standard normal targets and initial vectors of standard deviation ``scale``.

    Reference: arXiv 2503.05631, section 6 (both standard normal).
    """
    target = {v: rng.normal(size=n) for v, n in model.dimensions.items()}
    initial = {v: scale * rng.normal(size=n) for v, n in model.dimensions.items()}
    return project(model, initial, target, description=description or "random")


def seeded_start(model: Model, seed: int, parameters: Mapping[str, float]) -> Start:
    """The random start of a seed, with the dimensions ``n_v`` among the parameters."""
    sizes = dict(model.dimensions)
    for vector in sizes:
        size = parameters.get(f"n_{vector}", sizes[vector])
        if size != int(size) or size < 1:
            raise ValueError(
                f"n_{vector} = {size:g}: a random start needs a whole dimension of at least 1"
            )
        sizes[vector] = int(size)
    sized = dataclasses.replace(model, dimensions=sizes)
    return random_start(sized, stream(seed, "start"), description=f"random, seed {seed}")


def read_start(path: str | Path, model: Model) -> Start:
    """The start in an .npz file with ``init_v`` and ``true_v`` for each vector v.

    Raises `CoopetitionError` if the file cannot be read, and `ValueError` naming an array that is
    missing or invalid.
    """
    names = [f"{kind}_{vector}" for vector in model.vectors for kind in ("init", "true")]
    arrays: dict[str, Array] = {}
    try:
        file = Path(path).expanduser().open("rb")
    except OSError as error:
        raise CoopetitionError(f"cannot read start {path}: {error.strerror}") from error
    with (
        file,
        foreign_parser(path, ".npz archive of a start", error=CoopetitionError),
        zipfile.ZipFile(file) as archive,
    ):
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        needed = [members[name] for name in names if name in members]
        require_sizes(archive, needed, each=_MOST_BYTES, total=_MOST_BYTES)
        for name in needed:
            with archive.open(name) as member:
                size = archive.getinfo(name).file_size
                arrays[name.removesuffix(".npy")] = read_npy(member, size)
    for name in names:
        if name not in arrays:
            present = ", ".join(sorted(members)[:20]) or "nothing"
            raise ValueError(f"start {path} has no array {name!r} (it has {present:.300})")
    initial, target = (
        {v: arrays[f"{kind}_{v}"] for v in model.vectors} for kind in ("init", "true")
    )
    return project(model, initial, target, description=str(path))
