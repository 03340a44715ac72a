"""Data sets: their numbers, splits and files."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from coopetition.errors import FitError, LogError
from coopetition.settings.training import DataSettings
from coopetition.train.data import make_dataset
from coopetition.train.data.clustering import cluster
from coopetition.train.data.embeddings import read_array, write_array
from coopetition.train.data.omniglot import EDGE, characters, shrunk

OMNIGLOT = Path(__file__).parents[1] / "../shared/data/omniglot_small/images_105.npz"


def test_gaussian_classes_have_the_spreads_asked_for():
    dataset = make_dataset(DataSettings(n_classes=2_000, n_exemplars=10, dim=20, spread=0.5))
    x = dataset.exemplars
    assert x.shape == (2_000, 10, 20)
    assert x.dtype == np.float32
    within = x.std(axis=1, ddof=1)
    centres = x.mean(axis=1)
    # standard error of a standard deviation from n values: s / √(2n)
    assert np.sqrt((within**2).mean()) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2 * 360_000))
    # a mean of 10 exemplars scatters by 1 + 0.5²/10
    assert centres.var() == pytest.approx(1.025, abs=5 * 1.025 * np.sqrt(2 / 40_000))


def test_a_data_set_is_its_seeds():
    small = DataSettings(n_classes=5, n_exemplars=2, dim=3)
    assert make_dataset(small).checksum == make_dataset(small).checksum
    assert make_dataset(small).checksum != make_dataset(small.replace(seed=1)).checksum


def test_splits_are_disjoint_and_in_order():
    dataset = make_dataset(
        DataSettings(
            n_classes=6,
            validation_classes=2,
            test_classes=1,
            n_exemplars=3,
            test_exemplars=4,
            dim=2,
        )
    )
    assert dataset.exemplars.shape == (9, 7, 2)
    assert dataset.classes == {"train": (0, 6), "validation": (6, 2), "test": (8, 1)}
    assert dataset.exemplar_parts == {"train": (0, 3), "validation": (3, 0), "test": (3, 4)}
    assert dataset.n_labels == 6


def test_fewer_labels_are_spread_evenly():
    dataset = make_dataset(DataSettings(n_classes=10, n_exemplars=1, dim=2, n_labels=4))
    labels = dataset.class_labels
    assert (np.diff(labels) >= 0).all()
    assert np.bincount(labels).tolist() == [3, 2, 3, 2]
    with pytest.raises(ValueError, match=r"data\.n_labels = 11"):
        make_dataset(DataSettings(n_classes=10, n_exemplars=1, dim=2, n_labels=11))


def test_exemplars_cannot_be_written_to():
    dataset = make_dataset(DataSettings(n_classes=3, n_exemplars=1, dim=2))
    with pytest.raises(ValueError, match="read-only"):
        dataset.exemplars[0] = 1


@pytest.mark.parametrize("kind", ["gaussian", "glyphs", "onehot"])
def test_drawn_data_need_numbers_of_their_own(kind):
    with pytest.raises(ValueError, match=r"data\.n_classes = 0"):
        make_dataset(DataSettings(kind=kind, n_classes=0, n_exemplars=1))


def test_one_hot_classes_have_one_exemplar():
    assert make_dataset(DataSettings(kind="onehot", n_classes=7, n_exemplars=1)).input_dim == 7
    with pytest.raises(ValueError, match="a one-hot class has 1 exemplar"):
        make_dataset(DataSettings(kind="onehot", n_classes=7, n_exemplars=2))


def test_glyphs_of_a_class_resemble_each_other_more_than_others():
    dataset = make_dataset(DataSettings(kind="glyphs", n_classes=40, n_exemplars=6))
    assert dataset.image_size == 28
    assert dataset.input_dim == 784
    images = dataset.exemplars.astype(float).reshape(40, 6, 28, 28)
    assert (images.reshape(240, -1).max(1) > 200).all()  # every image shows something
    assert images.mean() < 80  # on a light ground
    # blurred, so that a shift by a pixel counts little
    blurred = sum(np.roll(images, s, axis) for axis in (2, 3) for s in (-2, -1, 0, 1, 2))
    flat = blurred.reshape(240, -1)
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1) // 6
    assert (nearest == np.arange(240) // 6).mean() > 0.9


def test_glyphs_without_jitter_are_all_alike():
    still = make_dataset(DataSettings(kind="glyphs", n_classes=3, n_exemplars=4, jitter=0))
    assert (still.exemplars == still.exemplars[:, :1]).all()


def drawings(n):
    if not OMNIGLOT.exists():
        pytest.skip("the small Omniglot set is not beside this checkout")
    with np.load(OMNIGLOT) as data:
        bits = np.unpackbits(data["images"][:n], axis=-1)[..., : EDGE * EDGE]
    return bits.reshape(n, 20, EDGE, EDGE).astype(bool)


def write_omniglot(folder, images):
    from PIL import Image

    for c, of_character in enumerate(images):
        place = folder / "images_background" / f"Alphabet_{c % 2}" / f"character{c:02d}"
        place.mkdir(parents=True)
        for e, drawing in enumerate(of_character):
            Image.fromarray(np.where(drawing, 0, 255).astype(np.uint8)).convert("1").save(
                place / f"{c:04d}_{e + 1:02d}.png"
            )


def by_alphabet(images):
    """The order in which files are read: alphabet first."""
    return np.concatenate([images[0::2], images[1::2]])


def test_omniglot_is_read_from_a_folder_and_from_a_zip(tmp_path):
    images = drawings(4)
    write_omniglot(tmp_path, images)
    assert np.array_equal(characters(tmp_path), by_alphabet(images))
    zipped = tmp_path / "omniglot.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in sorted(tmp_path.rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    assert np.array_equal(characters(zipped), by_alphabet(images))


def test_an_omniglot_character_makes_eight_classes(tmp_path):
    images = drawings(3)
    write_omniglot(tmp_path, images)
    settings = DataSettings(
        kind="omniglot", path=str(tmp_path), n_classes=0, n_exemplars=0, image_size=EDGE
    )
    dataset = make_dataset(settings)
    shown = dataset.exemplars.reshape(24, 20, EDGE, EDGE) // 255
    assert dataset.n_labels == 24
    # unturned classes are the characters in some order, no two alike
    order = [
        next(k for k in range(3) if np.array_equal(shown[c], images[k].astype(int)))
        for c in range(3)
    ]
    assert sorted(order) == [0, 1, 2]
    for c in range(3):
        versions = shown[c::3]
        assert np.array_equal(versions[1], np.rot90(versions[0], axes=(1, 2)))
        assert np.array_equal(versions[4], versions[0][..., ::-1])
        assert len({version.tobytes() for version in versions}) == 8


def test_shrinking_keeps_the_amount_of_ink():
    images = drawings(2)
    small = shrunk(images, 28)
    assert small.shape == (2, 20, 28, 28)
    ink = images.mean((2, 3))
    assert small.mean((2, 3)) / 255 == pytest.approx(ink, abs=0.01)
    assert np.array_equal(shrunk(images, EDGE), 255 * images.astype(np.uint8))
    with pytest.raises(ValueError, match="image_size = 200"):
        shrunk(images, 200)


def test_a_missing_or_wrong_omniglot_says_what_is_wrong(tmp_path):
    omniglot = DataSettings(kind="omniglot", n_classes=0, n_exemplars=0)
    with pytest.raises(ValueError, match=r"data\.path = None"):
        make_dataset(omniglot)
    with pytest.raises(LogError, match="does not exist"):
        make_dataset(omniglot.replace(path=str(tmp_path / "nowhere")))
    with pytest.raises(LogError, match="holds no images"):
        make_dataset(omniglot.replace(path=str(tmp_path)))
    (tmp_path / "broken.zip").write_bytes(b"nothing")
    with pytest.raises(LogError, match="damaged zip file"):
        make_dataset(omniglot.replace(path=str(tmp_path / "broken.zip")))


@pytest.mark.parametrize("name", ["features.h5", "features.npy"])
def test_embeddings_are_read_as_they_were_written(tmp_path, name):
    array = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)
    write_array(array, tmp_path / name, "resnet18/224/feat", source="a test")
    dataset = make_dataset(
        DataSettings(kind="embeddings", path=str(tmp_path / name), n_classes=5, n_exemplars=2)
    )
    assert np.array_equal(dataset.exemplars, array[:5, :2])
    assert dataset.input_dim == 4


def test_wrong_embedding_files_say_what_is_wrong(tmp_path):
    def read(path, **more):
        return make_dataset(DataSettings(kind="embeddings", path=str(path), **more))

    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    np.save(tmp_path / "nan.npy", np.full((30, 2, 3), np.nan))
    np.save(tmp_path / "few.npy", np.zeros((30, 2, 3)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["somewhere/else"] = np.zeros((3, 2, 1))
    (tmp_path / "broken.h5").write_bytes(b"nothing")
    with pytest.raises(LogError, match=r"expected \(classes, exemplars, dim\)"):
        read(tmp_path / "flat.npy")
    with pytest.raises(LogError, match="not finite"):
        read(tmp_path / "nan.npy", n_classes=30, n_exemplars=2)
    with pytest.raises(ValueError, match=r"data\.n_classes = 12800.*only 30 are there"):
        read(tmp_path / "few.npy")
    with pytest.raises(LogError, match="only \\['somewhere/else'\\]"):
        read(tmp_path / "other.h5")
    with pytest.raises(LogError, match="damaged file of embeddings"):
        read(tmp_path / "broken.h5")
    with pytest.raises(LogError, match="does not exist"):
        read_array(tmp_path / "missing.h5", "x")


def test_clustering_finds_the_classes_that_are_there():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(20, 8)) * 5
    rows = (centres[:, None] + 0.1 * rng.normal(size=(20, 12, 8))).reshape(240, 8)
    classes = cluster(
        rows.astype(np.float32)[rng.permutation(240)],
        n_classes=12,
        n_exemplars=5,
        rng=np.random.default_rng(0),
    )
    assert classes.shape == (12, 5, 8)
    nearest = np.linalg.norm(classes[:, :, None] - centres, axis=-1).argmin(-1)
    assert (nearest == nearest[:, :1]).all()  # a class is of one cluster
    assert len({row.tobytes() for row in classes.reshape(60, 8)}) == 60  # no exemplar twice


def test_clustering_refuses_what_cannot_be():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="at least 100 rows"):
        cluster(rows, n_classes=20, n_exemplars=5, rng=rng)
    with pytest.raises(FitError, match="clusters have 12 members"):
        cluster(rows, n_classes=4, n_exemplars=12, rng=rng)
