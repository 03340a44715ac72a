"""Data sets: classes with exemplars and labels, divided into training and held-out parts."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from ...seeds import stream
from ...settings.training import DataSettings, Part

PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Exemplars of every class. Classes are ordered: training, validation, test."""

    # (classes, exemplars, dim): float32; uint8 pixels of images, which the network reads divided
    # by 255; int64 indices of one-hot classes, dim 1
    exemplars: NDArray[np.generic]
    classes: dict[Part, tuple[int, int]]  # first class and number of classes of each part
    exemplar_parts: dict[Part, tuple[int, int]]  # first exemplar and number of exemplars
    n_labels: int  # training class c of C has the label floor(c * n_labels / C)
    image_size: int = 0  # edge of the images in pixels, or 0 where exemplars are no images
    one_hot_dim: int = 0  # length of the one-hot vectors, or 0 where exemplars are none

    def __post_init__(self) -> None:
        self.exemplars.flags.writeable = False

    @property
    def input_dim(self) -> int:
        """Entries of an exemplar as the network reads it."""
        return self.one_hot_dim or int(self.exemplars.shape[2])

    @property
    def class_labels(self) -> NDArray[np.int64]:
        """Label of each training class, shape ``(classes,)``; non-decreasing."""
        n = self.classes["train"][1]
        return np.arange(n, dtype=np.int64) * self.n_labels // n

    @property
    def checksum(self) -> str:
        """SHA-256 of the exemplars."""
        return hashlib.sha256(np.ascontiguousarray(self.exemplars).tobytes()).hexdigest()


def split(
    exemplars: NDArray[np.generic],
    settings: DataSettings,
    *,
    image_size: int = 0,
    one_hot_dim: int = 0,
) -> Dataset:
    """A `Dataset` of the first ``exemplars`` ``(classes, exemplars, dim)``, divided by settings."""
    held_classes = (settings.validation_classes, settings.test_classes)
    held_exemplars = (settings.validation_exemplars, settings.test_exemplars)
    classes = parts(exemplars.shape[0], settings.n_classes, held_classes, "n_classes")
    of_class = parts(exemplars.shape[1], settings.n_exemplars, held_exemplars, "n_exemplars")
    n_labels = settings.n_labels or classes["train"][1]
    if n_labels > classes["train"][1]:
        raise ValueError(
            f"data.n_labels = {n_labels}: more labels than the {classes['train'][1]} training "
            "classes; lower it, or 0 for a label for each class"
        )
    used = exemplars[: sum(classes["test"]), : sum(of_class["test"])]
    return Dataset(
        exemplars=np.ascontiguousarray(used),
        classes=classes,
        exemplar_parts=of_class,
        n_labels=n_labels,
        image_size=image_size,
        one_hot_dim=one_hot_dim,
    )


def parts(
    available: int, wanted: int, held_out: tuple[int, int], name: str
) -> dict[Part, tuple[int, int]]:
    """First index and size of the three parts of ``available`` classes or exemplars."""
    n_train = wanted or available - sum(held_out)
    if n_train < 1 or n_train + sum(held_out) > available:
        raise ValueError(
            f"data.{name} = {wanted}, and {sum(held_out)} held out: only {available} are there; "
            f"lower it to at most {max(available - sum(held_out), 0)}"
        )
    starts = np.cumsum([0, n_train, held_out[0]])
    sizes = (n_train, *held_out)
    return {part: (int(starts[i]), sizes[i]) for i, part in enumerate(PARTS)}


def wanted_shape(settings: DataSettings) -> tuple[int, int]:
    """Numbers of classes and exemplars to make, held-out ones included."""
    for name in ("n_classes", "n_exemplars"):
        if not getattr(settings, name):
            raise ValueError(f"data.{name} = 0: {settings.kind} classes need a number of their own")
    return (
        settings.n_classes + settings.validation_classes + settings.test_classes,
        settings.n_exemplars + settings.validation_exemplars + settings.test_exemplars,
    )


def data_stream(settings: DataSettings) -> np.random.Generator:
    """The generator of a data set's random numbers, by its seed and kind."""
    return stream(settings.seed, f"classes/{settings.kind}")
