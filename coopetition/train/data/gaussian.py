"""Gaussian classes: a centre for each class, exemplars scattered around it."""

from __future__ import annotations

import numpy as np

from ...settings.training import DataSettings
from .dataset import Dataset, data_stream, split, wanted_shape


def gaussian(settings: DataSettings) -> Dataset:
    """Exemplars ``x = m + s e`` with centre ``m`` and scatter ``e``, entries standard normal.

    ``s`` is ``settings.spread``, the within-class standard deviation in units of the between-class
    one.
    """
    n_classes, n_exemplars = wanted_shape(settings)
    rng = data_stream(settings)
    centres = rng.standard_normal((n_classes, 1, settings.dim), dtype=np.float32)
    exemplars = rng.standard_normal((n_classes, n_exemplars, settings.dim), dtype=np.float32)
    exemplars *= np.float32(settings.spread)
    exemplars += centres
    return split(exemplars, settings)


def onehot(settings: DataSettings) -> Dataset:
    """One exemplar a class: the unit vector of its index."""
    n_classes, n_exemplars = wanted_shape(settings)
    if n_exemplars != 1:
        raise ValueError(f"data.n_exemplars = {n_exemplars}: a one-hot class has 1 exemplar")
    indices = np.arange(n_classes, dtype=np.int64).reshape(n_classes, 1, 1)
    return split(indices, settings, one_hot_dim=n_classes)
