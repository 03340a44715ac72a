"""The data sets, one kind a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...settings.training import DataSettings
from .dataset import Dataset
from .embeddings import embeddings
from .gaussian import gaussian, onehot
from .glyphs import glyphs
from .omniglot import omniglot

__all__ = ["Dataset", "make_dataset"]

_KINDS: Mapping[str, Callable[[DataSettings], Dataset]] = {
    "gaussian": gaussian,
    "glyphs": glyphs,
    "omniglot": omniglot,
    "embeddings": embeddings,
    "onehot": onehot,
}


def make_dataset(settings: DataSettings) -> Dataset:
    """The data set that the settings describe: drawn by its seed, or read from its file."""
    return _KINDS[settings.kind](settings)
