"""Fixed embeddings from a file: ResNet features of Omniglot, clustered token embeddings, …"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import LogError
from ...files import foreign_parser, held_data, read_npy
from ...settings.training import DataSettings
from .dataset import Dataset, split


def embeddings(settings: DataSettings) -> Dataset:
    """The embeddings ``(classes, exemplars, dim)`` in a .npy or HDF5 file, as float32."""
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
    """The finite array in a .npy file, or at ``path_in_file`` of an HDF5 file, as float32."""
    if not path.is_file():
        raise LogError(f"file {str(path)!r} does not exist")
    with foreign_parser(path, "file of embeddings (.npy or HDF5)"):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                array = np.asarray(read_npy(file, path.stat().st_size), dtype=np.float32)
        else:
            array = hdf5_array(path, path_in_file)
    if not np.isfinite(array).all():
        raise LogError(f"{path} holds values that are not finite; remove those rows or classes")
    return array


def hdf5_array(path: Path, path_in_file: str) -> NDArray[np.float32]:
    """The data set at ``path_in_file`` of an HDF5 file; LogError with their names if none is."""
    import h5py

    with h5py.File(path, "r") as file:
        parts = path_in_file.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            link = file.get("/".join(parts[:end]), getlink=True)
            if link is not None and not isinstance(link, h5py.HardLink):
                raise LogError(f"{path}: {path_in_file} is a link; copy the data set there")
        if isinstance(file.get(path_in_file), h5py.Dataset):
            return np.asarray(held_data(file[path_in_file])[()], dtype=np.float32)
        names: list[str] = []
        file.visit(names.append)
        present = [name for name in names if isinstance(file[name], h5py.Dataset)]
        raise LogError(f"{path} has no data set {path_in_file!r}, only {present[:20]}")


def write_array(array: NDArray[np.float32], path: Path, path_in_file: str, **sources: str) -> None:
    """Write embeddings where `read_array` finds them, with where they came from as attributes."""
    if path.suffix == ".npy":
        np.save(path, array)
        return
    import h5py

    with h5py.File(path, "w") as file:
        file[path_in_file] = array
        file[path_in_file].attrs.update(sources)
