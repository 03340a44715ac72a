"""Glyphs: drawn images of a few strokes, each exemplar in another handwriting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...settings.training import DataSettings
from .dataset import Dataset, data_stream, split, wanted_shape

STROKES = 4  # most strokes of a glyph
POINTS = 22  # points drawn along a stroke
PEN = 0.024  # radius of the pen, in edges of the image
INK = 1.2  # ink a point leaves at its centre; overlapping ink saturates at 1
CHUNK = 4_096  # images drawn at once


def glyphs(settings: DataSettings) -> Dataset:
    """Images of glyphs, uint8, shape ``(classes, exemplars, image_size²)``.

    A class is 2 to 4 strokes, each a cubic Bézier curve with random control points. An exemplar
    moves every control point (standard deviation 0.02 edges times ``settings.jitter``) and turns,
    scales and shifts the whole (0.1 rad, 6 %, 0.02 edges, times ``jitter``).
    """
    n_classes, n_exemplars = wanted_shape(settings)
    rng = data_stream(settings)
    control = rng.uniform(0.08, 0.92, (n_classes, STROKES, 4, 2))
    is_stroke = np.arange(STROKES) < rng.integers(2, STROKES + 1, (n_classes, 1))
    n_images = n_classes * n_exemplars
    images = np.empty((n_images, settings.image_size**2), dtype=np.uint8)
    for start in range(0, n_images, CHUNK):
        classes = np.arange(start, min(start + CHUNK, n_images)) // n_exemplars
        points = jittered(control[classes], settings.jitter, rng)
        images[start : start + CHUNK] = draw(points, is_stroke[classes], settings.image_size)
    exemplars = images.reshape(n_classes, n_exemplars, -1)
    return split(exemplars, settings, image_size=settings.image_size)


def jittered(
    control: NDArray[np.float64], jitter: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Control points ``(images, strokes, 4, 2)``, moved, turned, scaled and shifted at random."""
    n = len(control)
    moved = control + 0.02 * jitter * rng.standard_normal(control.shape)
    angle = 0.1 * jitter * rng.standard_normal(n)
    size = np.exp(0.06 * jitter * rng.standard_normal(n))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = size[:, None, None] * np.stack([cos, -sin, sin, cos], axis=1).reshape(n, 2, 2)
    shift = 0.5 + 0.02 * jitter * rng.standard_normal((n, 1, 1, 2))
    turned: NDArray[np.float64] = np.einsum("nij,nskj->nski", turn, moved - 0.5) + shift
    return turned


def draw(
    control: NDArray[np.float64], is_stroke: NDArray[np.bool_], image_size: int
) -> NDArray[np.uint8]:
    """Images of Bézier strokes, shape ``(images, image_size²)``.

    A point at (u, v) leaves ink ``exp(-(x-u)²/2r²) exp(-(y-v)²/2r²)``: a product of a row and a
    column, so that an image is one matrix product over its points.
    """
    t = np.linspace(0, 1, POINTS)
    bernstein = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    points = np.einsum("kp,nskc->nspc", bernstein, control).reshape(len(control), -1, 2)
    pixels = (np.arange(image_size) + 0.5) / image_size
    radius = max(PEN, 0.5 / image_size)  # a pen finer than a pixel would leave gaps
    ink = np.exp(-((points[..., None] - pixels) ** 2) / (2 * radius**2)).astype(np.float32)
    ink[:, :, 0] *= np.repeat(is_stroke, POINTS, axis=1)[:, :, None] * np.float32(INK)
    images = np.matmul(ink[:, :, 1].transpose(0, 2, 1), ink[:, :, 0])
    levels: NDArray[np.uint8] = np.rint(255 * np.minimum(images, 1)).astype(np.uint8)
    return levels.reshape(len(control), -1)
