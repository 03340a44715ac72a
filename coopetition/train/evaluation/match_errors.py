"""Errors of a task's data, before training: the least that either strategy can make.

ICL compares the query with the exemplars in context, CIWL tells the classes in context apart. Both
errors are shares of variance that the best of their kind leaves unexplained, from 0 (perfect) to 1
(chance), on sequences drawn as in training:

- match: the query q is reconstructed as c Σ_i w_i x_i from the exemplars x_i in context,
  w = softmax(−β |q − x_i|²), with the best β and c;
  error = min ⟨|q − c Σ w x|²⟩ / ⟨|q|²⟩;
- probe: a linear discriminant between the query's class A and another class B in context, with the
  classes' means over their training exemplars m_A, m_B, gives s = (q − (m_A + m_B)/2)·(m_A − m_B) /
  |m_A − m_B|², to be 1/2; error = min_c ⟨(1/2 − c s)²⟩ / (1/4).

Shares of wrong answers would not do: in 64 dimensions they are 0 for all spreads of interest. The
first error feeds mu1 of the toy model, the second mu2 (`coopetition.forecasting.settings_map`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from ...seeds import stream_seed
from ...settings.training import TrainingSettings
from ..data import make_dataset
from ..sequences.batch import Exemplars
from ..sequences.batches import training_draws

Array = NDArray[np.float64]

BLOCK = 10_000  # exemplars looked up at once: images are large
SHARPNESS = np.concatenate([[0.0], np.geomspace(0.01, 1e4, 61)])  # β × the mean squared distance


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataErrors:
    """Shares of variance that either strategy leaves unexplained on a task's data."""

    match: float  # of the query, by exemplars in context, 0 to 1
    probe: float  # of the class, by a linear probe between classes in context, 0 to 1
    n_sequences: int  # number of sequences measured

    def as_settings(self) -> dict[str, float]:
        """Under the names that `coopetition.forecasting.settings_map` reads."""
        return {"match_error": self.match, "probe_error": self.probe}


def data_errors(settings: TrainingSettings, *, n_sequences: int = 2_000) -> DataErrors:
    """Both errors on training sequences, of which at least one must have two classes."""
    if n_sequences < 10:
        raise ValueError(f"n_sequences = {n_sequences}: means need at least 10")
    dataset = make_dataset(settings.data)
    generator = torch.Generator().manual_seed(stream_seed(settings.run.seed, "data-errors"))
    indices = training_draws(settings, dataset).draw(n_sequences, generator)
    exemplars = Exemplars(dataset, torch.device("cpu"))
    examples = exemplars.show(indices.classes, indices.exemplars)
    noise = settings.sequences.input_noise
    if noise > 0:
        examples = examples + noise * torch.randn(examples.shape, generator=generator)
    x = np.asarray(examples.double().numpy())
    centred = x - x.reshape(-1, x.shape[-1]).mean(axis=0)
    return DataErrors(
        match=match_error(centred[:, -1], centred[:, :-1]),
        probe=probe_error(exemplars, np.asarray(indices.classes.numpy()), x[:, -1]),
        n_sequences=n_sequences,
    )


def match_error(query: Array, context: Array) -> float:
    """The error of centred queries ``(n, dim)`` and contexts ``(n, context_len, dim)``."""
    distances = np.sum((query[:, None, :] - context) ** 2, axis=2)
    power = float(np.sum(query**2))
    unit = float(np.mean(distances))
    if power == 0 or unit == 0:
        return 0.0
    nearest = distances - distances.min(axis=1, keepdims=True)
    best = 1.0
    for sharpness in SHARPNESS:
        weights = np.exp(-sharpness / unit * nearest)
        weights /= weights.sum(axis=1, keepdims=True)
        guess = np.einsum("nc,ncd->nd", weights, context)
        explained = float(np.sum(query * guess)) ** 2 / max(float(np.sum(guess**2)), 1e-300)
        best = min(best, 1.0 - explained / power)
    return max(best, 0.0)


def probe_error(exemplars: Exemplars, classes: NDArray[np.int64], query: Array) -> float:
    """The error of a probe on queries ``(n, dim)``, whose classes are the last of ``classes``."""
    own = classes[:, -1]
    differs = classes[:, :-1] != own[:, None]
    usable = differs.any(axis=1)
    if not usable.any():
        raise ValueError("no sequence has two classes: a probe needs sequences with distractors")
    other = classes[np.arange(len(classes)), np.argmax(differs, axis=1)]
    own, other, query = own[usable], other[usable], query[usable]
    present, places = np.unique(np.stack([own, other]), return_inverse=True)
    mine, theirs = class_means(exemplars, present)[places.reshape(2, -1)]
    between = mine - theirs
    length = np.sum(between**2, axis=1)
    if not np.all(length > 0):
        return 1.0  # classes whose means coincide cannot be told apart
    score = np.sum((query - 0.5 * (mine + theirs)) * between, axis=1) / length
    power = float(np.mean(score**2))
    return max(1.0 - float(np.mean(score)) ** 2 / power, 0.0) if power > 0 else 1.0


def class_means(exemplars: Exemplars, classes: NDArray[np.int64]) -> Array:
    """Mean training exemplar of each class, shape ``(classes, dim)``, a few classes at a time."""
    first, number = exemplars.dataset.exemplar_parts["train"]
    members = torch.arange(first, first + number)
    blocks = []
    for part in np.array_split(classes, max(1, len(classes) * number // BLOCK)):
        owners = torch.from_numpy(part)[:, None].expand(-1, number)
        examples = exemplars.show(owners, members.expand(len(part), -1))
        blocks.append(examples.double().mean(dim=1).numpy())
    return np.concatenate(blocks)
