"""Classes from a plain matrix of embeddings: a cluster is a class, its members the exemplars.

As arXiv 2311.08360 does with a language model's token embeddings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError

ROUNDS = 25  # of Lloyd's iteration; the classes need to be sensible, not optimal


def cluster(
    matrix: NDArray[np.float32],
    *,
    n_classes: int,
    n_exemplars: int,
    rng: np.random.Generator,
    oversample: float = 2.0,
) -> NDArray[np.float32]:
    """Classes of mutually near rows, shape ``(n_classes, n_exemplars, dim)``.

    k-means of a ``matrix`` ``(rows, dim)`` with ``oversample × n_classes`` centres, which start
    from rows that ``rng`` chooses; of the clusters with enough members, those whose
    ``n_exemplars`` nearest members lie closest to their centre, those members nearest first.
    """
    from scipy.cluster.vq import kmeans2

    if matrix.ndim != 2 or len(matrix) < n_classes * n_exemplars:
        raise ValueError(
            f"matrix of shape {matrix.shape}: {n_classes} classes of {n_exemplars} exemplars need "
            f"at least {n_classes * n_exemplars} rows"
        )
    k = max(n_classes, min(int(oversample * n_classes), len(matrix) // n_exemplars))
    starts = matrix[rng.choice(len(matrix), k, replace=False)]
    with np.errstate(divide="ignore", invalid="ignore"):
        centres, member_of = kmeans2(matrix, starts, iter=ROUNDS, minit="matrix", missing="warn")
    distance = np.linalg.norm(matrix - centres[member_of], axis=1)
    candidates: list[tuple[float, NDArray[np.intp]]] = []
    order = np.argsort(member_of, kind="stable")
    for members in np.split(order, np.searchsorted(member_of[order], np.arange(1, k))):
        if len(members) >= n_exemplars:
            nearest = members[np.argsort(distance[members], kind="stable")[:n_exemplars]]
            candidates.append((float(distance[nearest].mean()), nearest))
    if len(candidates) < n_classes:
        raise FitError(
            f"only {len(candidates)} of {k} clusters have {n_exemplars} members, {n_classes} are "
            "needed: lower the number of classes or exemplars"
        )
    candidates.sort(key=lambda candidate: candidate[0])
    return np.ascontiguousarray(matrix[np.stack([rows for _, rows in candidates[:n_classes]])])
