"""Omniglot, from the user's own folder or zip file.

Reference: Lake, Salakhutdinov & Tenenbaum, Science 350 (2015); github.com/brendenlake/omniglot
(``images_background.zip``, ``images_evaluation.zip``). Rotations and flips as in arXiv 2311.08360.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import LogError
from ...files import foreign_parser, require_sizes
from ...settings.training import DataSettings
from .dataset import Dataset, data_stream, split

EDGE = 105
MOST_BYTES = 2**16  # of a drawing's file; Omniglot's have a few hundred
MOST_DRAWINGS = 40_000  # Omniglot has 32,460


def omniglot(settings: DataSettings) -> Dataset:
    """Images of handwritten characters, uint8, shape ``(classes, 20, image_size²)``; ink is 255.

    Every character makes 8 classes: turned by 0, 90, 180, 270 degrees, each also mirrored. The
    characters are shuffled by the data set's seed; all unturned ones come first, then all turned
    by 90 degrees, …, so that a small number of classes holds no character twice.
    """
    if settings.path is None:
        raise ValueError("data.path = None: name Omniglot's folder or zip file")
    drawings = characters(Path(settings.path))
    drawings = drawings[data_stream(settings).permutation(len(drawings))]
    small = shrunk(drawings, settings.image_size)
    versions = [np.rot90(small, k, axes=(2, 3)) for k in range(4)]
    versions += [version[..., ::-1] for version in versions]
    images = np.concatenate(versions)
    exemplars = images.reshape(len(images), images.shape[1], -1)
    return split(exemplars, settings, image_size=settings.image_size)


def shrunk(drawings: NDArray[np.bool_], image_size: int) -> NDArray[np.uint8]:
    """Images averaged over areas to ``image_size``, 0 to 255, shape ``(…, size, size)``."""
    if image_size > EDGE:
        raise ValueError(f"data.image_size = {image_size}: Omniglot has {EDGE} pixels")
    # weight of old pixel j in new pixel i: the length they overlap, in new pixels
    edges = np.arange(EDGE + 1) * image_size / EDGE
    new = np.arange(image_size)[:, None]
    overlap = np.minimum(edges[1:], new + 1) - np.maximum(edges[:-1], new)
    weights = np.maximum(overlap, 0).astype(np.float32)
    grey = [weights @ drawing.astype(np.float32) @ weights.T for drawing in drawings]
    levels: NDArray[np.uint8] = np.rint(255 * np.clip(np.stack(grey), 0, 1)).astype(np.uint8)
    return levels


def characters(path: Path) -> NDArray[np.bool_]:
    """All characters under a folder or in a zip, shape ``(characters, 20, 105, 105)``; True = ink.

    Characters are ordered by alphabet and name, drawings by file name.
    """
    if not path.exists():
        raise LogError(f"data.path = {str(path)!r} does not exist; name Omniglot's folder or zip")
    by_character: dict[str, list[tuple[str, NDArray[np.bool_]]]] = {}
    for count, (name, content) in enumerate(images_in(path)):
        if count == MOST_DRAWINGS:
            raise LogError(f"{path} holds more than {MOST_DRAWINGS:,} images; is it Omniglot?")
        character = "/".join(name.split("/")[-3:-1])  # alphabet/character
        by_character.setdefault(character, []).append((name, ink(content, f"{path}: {name}")))
    if not by_character:
        raise LogError(f"{path} holds no images alphabet/character/*.png; is it Omniglot?")
    counts = {character: len(drawings) for character, drawings in by_character.items()}
    most = max(counts.values())
    for character, count in counts.items():
        if count != most:
            raise LogError(
                f"character {character} under {path} has {count} drawings, others {most}; "
                "unpack the archive again"
            )
    by_name = [sorted(by_character[c], key=lambda named: named[0]) for c in sorted(by_character)]
    return np.stack([np.stack([drawing for _, drawing in drawings]) for drawings in by_name])


def images_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every .png under a folder or in a zip file, zips in the folder too."""
    if path.is_dir():
        for file in sorted(path.rglob("*.png")):
            if (size := file.stat().st_size) > MOST_BYTES:
                raise LogError(f"{file} has {size:,} bytes; Omniglot's drawings have a few hundred")
            yield file.relative_to(path.parent).as_posix(), file.read_bytes()
        if not any(path.rglob("*.png")):
            for archive in sorted(path.glob("*.zip")):
                yield from images_in(archive)
        return
    with (
        foreign_parser(path, "zip file", remedy="download it again"),
        zipfile.ZipFile(path) as zipped,
    ):
        names = sorted(
            name
            for name in zipped.namelist()
            if name.endswith(".png") and not name.startswith("__MACOSX")
        )
        require_sizes(zipped, names, each=MOST_BYTES, total=MOST_BYTES * MOST_DRAWINGS)
        for name in names:
            yield name, zipped.read(name)


def ink(content: bytes, name: str) -> NDArray[np.bool_]:
    """Where a drawing is dark, shape ``(105, 105)``."""
    from PIL import Image

    with foreign_parser(name, "picture", remedy="unpack the archive again"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # not unpacked yet
            image = Image.open(io.BytesIO(content), formats=("PNG",))
        with image:
            if image.size != (EDGE, EDGE):
                width, height = image.size
                raise LogError(
                    f"{name} has {width} × {height} pixels, Omniglot's drawings {EDGE} × {EDGE}"
                )
            return np.asarray(image.convert("L")) < 128
