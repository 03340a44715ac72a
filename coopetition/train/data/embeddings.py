"""Fixed embeddings from a file: ResNet features of Omniglot, clustered token embeddings, …"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import LogError
from ...settings.training import DataSettings
from .dataset import Dataset, split


def embeddings(settings: DataSettings) -> Dataset:
    """The embeddings in ``settings.path``, float32, shape ``(classes, exemplars, dim)``.

    HDF5 files hold them at ``settings.path_in_file``, as the reference's do; .npy files are the
    array itself.
    """
    if settings.path is None:
        raise ValueError("data.path = None: name an HDF5 or .npy file of embeddings")
    array = read_array(Path(settings.path), settings.path_in_file)
    if array.ndim != 3:
        raise LogError(
            f"{settings.path} holds an array of shape {array.shape}, expected (classes, exemplars, "
            "dim); `coopetition embeddings` makes one from a matrix of embeddings"
        )
    return split(array, settings)


def read_array(path: Path, path_in_file: str) -> NDArray[np.float32]:
    """The array in a .npy file, or at ``path_in_file`` of an HDF5 file, as float32."""
    array = _stored(path, path_in_file)
    if not np.isfinite(array).all():
        raise LogError(f"{path} holds values that are not finite; remove those rows or classes")
    return array


def _stored(path: Path, path_in_file: str) -> NDArray[np.float32]:
    """What the file holds there, whatever it is."""
    if not path.is_file():
        raise LogError(f"file {str(path)!r} does not exist")
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        import h5py

        with h5py.File(path, "r") as file:
            if path_in_file not in file or not isinstance(file[path_in_file], h5py.Dataset):
                names: list[str] = []
                file.visititems(
                    lambda name, item: (
                        names.append(name) if isinstance(item, h5py.Dataset) else None
                    )
                )
                raise LogError(f"{path} has no data set {path_in_file!r}, only {names}")
            return np.asarray(file[path_in_file][()], dtype=np.float32)
    except (OSError, ValueError) as error:
        raise LogError(f"{path} is no readable .npy or HDF5 file: {error}") from error


def write_array(array: NDArray[np.float32], path: Path, path_in_file: str, **sources: str) -> None:
    """Write embeddings where `read_array` finds them, with where they came from as attributes."""
    if path.suffix == ".npy":
        np.save(path, array)
        return
    import h5py

    with h5py.File(path, "w") as file:
        file[path_in_file] = array
        file[path_in_file].attrs.update(sources)
