"""Files from strangers: whatever one holds, it is read or refused in one line, soon.

Logs have a test of their own, `test_logs_fuzz`.
"""

import functools
import hashlib
import io
import json
import shutil
import time
import traceback
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import SHARED_DATA
from fitted_curves import TRUTH, made_by, noisy
from mutations import mutated, mutated_json
from PIL import Image

import coopetition
from coopetition.dynamics.catalogue import get
from coopetition.dynamics.starts import read_start
from coopetition.errors import CheckpointError, CoopetitionError
from coopetition.fitting import fit, read_fits, write_fits
from coopetition.forecasting.settings_map import load_map
from coopetition.proposal.proposals_folder import read_predictions
from coopetition.report.sections import of_fits
from coopetition.settings.training import TrainingSettings
from coopetition.settings.yaml_files import load_yaml, read_settings, write_settings
from coopetition.train.data.embeddings import read_array
from coopetition.train.data.omniglot import EDGE, characters
from coopetition.train.folder.checkpoints import newest_checkpoint, read_weights, write_checkpoint
from coopetition.train.folder.ensemble_folder import MEMBERS, member_paths
from coopetition.train.reference import parameter_names, read_reference
from coopetition.train.sweeps.sweep import read_sweep
from coopetition.train.sweeps.sweep_run import RECORD, recorded_groups

PACKAGE = str(Path(coopetition.__file__).parent)
HOSTILE = SHARED_DATA / "hostile"
INDUCTION = get("induction")
SECONDS = 5.0
WIDTH, LABELS, DIM = 8, 4, 6
CONFIG = {
    "depth": 1, "num_heads": 2, "pos_embedding_type": "rope", "sin_time": 10000.0, "train_bs": 32,
    "mlp_ratio": None, "no_norm": False, "data_type": "file",
}  # fmt: skip


def _start():
    content = io.BytesIO()
    np.savez(content, **{f"{kind}_{v}": np.arange(1.0, 5) for v in "abc" for kind in TWO})
    return content.getvalue()


TWO = ("init", "true")


def _shape(name):
    if "qkv" in name:
        return (3 * WIDTH, WIDTH)
    if "proj" in name:
        return (WIDTH, WIDTH)
    shapes = {
        "example_embed.weight": (WIDTH, DIM),
        "label_embed.weight": (WIDTH, LABELS),
        "unembed.weight": (LABELS, WIDTH),
        "unembed.bias": (LABELS,),
    }
    return shapes.get(name, (WIDTH,))


def _rows_of_arrays(arrays):
    content = io.BytesIO()
    for array in arrays:
        np.save(content, array)
    return content.getvalue()


def _eqx():
    weights = [np.ones(_shape(name), np.float32) for name in parameter_names(CONFIG)]
    return _rows_of_arrays([np.array(96), np.array(1.0), *weights])


def _npy():
    return _rows_of_arrays([np.ones((4, 3, 2), np.float32)])


def _h5():
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("some/features", data=np.ones((4, 3, 2)), compression="gzip")
    return content.getvalue()


def _png():
    content = io.BytesIO()
    Image.fromarray(np.eye(EDGE, dtype=bool)).save(content, "png")
    return content.getvalue()


def _zip(picture=None):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for drawing in range(2):
            archive.writestr(f"images/Latin/a/{drawing}.png", picture or _png())
    return content.getvalue()


def _settings(folder):
    write_settings(TrainingSettings(), folder / "settings.yaml")
    return (folder / "settings.yaml").read_bytes()


def _checkpoint(folder):
    tensors = {"step/parameters/w": torch.ones(1, 3), "step/count": torch.tensor(2)}
    path = write_checkpoint(folder, 32, tensors)
    return path, path.read_bytes()


@functools.cache
def _fits():
    from tempfile import TemporaryDirectory

    known = {name: TRUTH[name] for name in ("x_a", "x_b", "x_c", "x_d", "sequences_per_time")}
    curves = noisy(made_by(TRUTH), 0.01, seed=1)
    with TemporaryDirectory() as folder:
        made = fit(curves, fixed=known, starts=2, screened=256, points=50)
        return write_fits(Path(folder) / "fit.json", made).read_bytes()


SWEEP = b"network: {depth: 2}\ngrid: {network.width: [8, 16], optimisation.lr: [1.0e-3, 3e-4]}\n"


def refused(read):
    """The message of the package's own error, one line of it; None where the file was read."""
    begun, message = time.perf_counter(), None
    try:
        read()
    except (CoopetitionError, ValueError) as error:
        message = str(error)
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        own = isinstance(error, CoopetitionError) or raised_in.startswith(PACKAGE)
    else:
        own = True
    assert own, message
    assert message is None or ("\n" not in message and len(message) < 1500)
    assert time.perf_counter() - begun < SECONDS
    return message


def fuzz(folder, kind, count):
    """Read mutations of a small file of a kind; most are refused, and none otherwise."""
    rng = np.random.default_rng(len(kind))
    path, content, change, read = FILES[kind](folder)
    path.write_bytes(content)
    assert refused(read) is None
    refusals = 0
    for _ in range(count):
        path.write_bytes(change(content, rng))
        refusals += refused(read) is not None
    assert refusals > 0


def _file(name, content, read, change=mutated):
    def made(folder):
        path = folder / name
        return path, content() if callable(content) else content, change, lambda: read(path)

    return made


def _tensors(folder):
    """Tensors that are damaged, and a checksum that says they are not."""
    path, content = _checkpoint(folder)

    def change(content, rng):
        data = mutated(content, rng)
        says = {"sequences": 32, "sha256": hashlib.sha256(data).hexdigest()}
        path.with_suffix(".json").write_text(json.dumps(says))
        return data

    path.with_suffix(".json").write_text(
        json.dumps({"sequences": 32, "sha256": hashlib.sha256(content).hexdigest()})
    )
    return path, content, change, lambda: read_weights(str(path))


def _about(folder):
    path, _ = _checkpoint(folder)
    about = path.with_suffix(".json")
    return about, about.read_bytes(), mutated, lambda: read_weights(str(path))


def _reference(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder / "a.eqx", _eqx(), mutated, lambda: read_reference(folder / "a.eqx")


def _config(folder):
    (folder / "a.eqx").write_bytes(_eqx())
    content = json.dumps(CONFIG).encode()
    return folder / "config.json", content, mutated_json, lambda: read_reference(folder / "a.eqx")


def _written_settings(folder):
    return folder / "s.yaml", _settings(folder), mutated, lambda: read_settings(folder / "s.yaml")


def _shipped_map():
    return (Path(PACKAGE) / "data" / "settings_map.json").read_bytes()


def _groups(folder):
    content = json.dumps({"groups": {"a_and_1_more": ["a", "b"]}}).encode()
    return folder / RECORD, content, mutated_json, lambda: recorded_groups(folder)


def _members(folder):
    content = json.dumps(["a", "b"]).encode()
    return folder / MEMBERS, content, mutated_json, lambda: member_paths(folder)


FILES = {
    "settings": _written_settings,
    "sweep": _file("sweep.yaml", SWEEP, read_sweep),
    "start": _file("a.npz", _start, lambda path: read_start(path, INDUCTION)),
    "checkpoint of the reference": _reference,
    "its configuration": _config,
    "checkpoint": _tensors,
    "what stands beside a checkpoint": _about,
    "npy": _file("a.npy", _npy, lambda path: read_array(path, "")),
    "hdf5": _file("a.h5", _h5, lambda path: read_array(path, "some/features")),
    "zip": _file("a.zip", _zip, characters),
    "png": _file("a.zip", _zip, characters, lambda _, rng: _zip(mutated(_png(), rng))),
    "fits": _file("fit.json", _fits, read_fits),
    "values of fits": _file("fit.json", _fits, read_fits, mutated_json),
    "map": _file("map.json", _shipped_map, load_map),
    "values of a map": _file("map.json", _shipped_map, load_map, mutated_json),
    "record of a sweep": _groups,
    "members of an ensemble": _members,
}


SLOW = ("fits", "values of fits", "map", "values of a map")  # a tenth of a second each


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    fuzz(tmp_path, kind, 60 if kind in SLOW else 300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_very_many_damaged_files_are_read_or_refused(tmp_path, kind):
    fuzz(tmp_path, kind, 600 if kind in SLOW else 6_000)


@pytest.mark.skipif(not HOSTILE.exists(), reason=f"no hostile files at {HOSTILE}")
@pytest.mark.parametrize(
    ("name", "read", "says"),
    [
        ("deep.yaml", read_settings, "line 1 is no YAML: it is nested more than 50 deep"),
        ("laugh3.yaml", read_settings, "more than 20,000 values, aliases written out"),
        ("npz_1_144_fail.npz", lambda path: read_start(path, INDUCTION), "zip file version"),
        ("px.zip", characters, "pixels"),
        ("fit_1_38_fail.json", read_fits, "is of format 1"),
    ],
)
def test_files_that_broke_something_are_refused(name, read, says):
    assert says in refused(lambda: read(HOSTILE / name))


@pytest.mark.skipif(not HOSTILE.exists(), reason=f"no hostile files at {HOSTILE}")
def test_a_checkpoint_of_the_reference_that_broke_something_is_refused(tmp_path):
    shutil.copy(HOSTILE / "eqx_1_14_fail.eqx", tmp_path / "a.eqx")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    says = refused(lambda: read_weights(str(tmp_path / "a.eqx")))
    assert "damaged checkpoint of the reference (array 2)" in says


@pytest.mark.parametrize("name", ["prop_1_150_fail.json", "prop_1_30_fail.json"])
def test_proposals_that_broke_something_are_refused(tmp_path, name):
    if not HOSTILE.exists():
        pytest.skip(f"no hostile files at {HOSTILE}")
    shutil.copy(HOSTILE / name, tmp_path / "proposals.json")
    assert "proposals.json" in refused(lambda: read_predictions(tmp_path))


def test_aliases_are_bounded_by_what_they_stand_for():
    shared = load_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, e: *a}", "x")
    assert shared == {"a": [1, 2], "b": [1, 2], "c": {"d": 1, "e": [1, 2]}}
    ten = "&{} [" + ", ".join(["{}"] * 10) + "]"
    laughs = [ten.format("a0", *["l"] * 10)]
    laughs += [ten.format(f"a{i}", *[f"*a{i - 1}"] * 10) for i in range(1, 8)]
    assert "aliases written out" in refused(lambda: load_yaml(f"[{', '.join(laughs)}]", "x"))
    assert "lies within itself" in refused(lambda: load_yaml("a: &a [*a]", "x"))
    assert "undefined alias" in refused(lambda: load_yaml("a: *b", "x"))
    assert "50 deep" in refused(lambda: load_yaml("{a: " * 60 + "1" + "}" * 60, "x"))
    assert "50 deep" in refused(lambda: load_yaml("- " * 60 + "1", "x"))
    assert "values" in refused(lambda: load_yaml(f"[{'1,' * 60_000}]", "x"))
    assert "characters" in refused(lambda: load_yaml("#" * 2**23, "x"))
    assert "no name" in refused(lambda: load_yaml("1: 2", "x"))


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(4, 0, -1)", "(9" + "9" * 30 + ",)"])
def test_sizes_that_an_array_only_declares_are_not_allocated(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80)
    (tmp_path / "a.npy").write_bytes(array)
    assert "an array" in refused(lambda: read_array(tmp_path / "a.npy", ""))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "a.eqx").write_bytes(array)
    assert "an array" in refused(lambda: read_reference(tmp_path / "a.eqx"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("init_a", "true_a", "init_b", "true_b", "init_c", "true_c"):
            archive.writestr(f"{name}.npy", array)
    assert "an array" in refused(lambda: read_start(tmp_path / "a.npz", INDUCTION))


def test_arrays_are_never_unpickled(tmp_path):
    objects = np.array([Path("/")], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    assert "not numbers" in refused(lambda: read_array(tmp_path / "a.npy", ""))
    names = [f"{kind}_{v}" for v in "abc" for kind in TWO]
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, objects))
    assert "not numbers" in refused(lambda: read_start(tmp_path / "a.npz", INDUCTION))


def test_members_of_a_zip_file_are_bounded_one_by_one_and_in_all(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/Latin/a/0.png", bytes(10**8))
    assert "declares 100,000,000 bytes" in refused(lambda: characters(path))
    names = [f"{kind}_{v}" for v in "abc" for kind in TWO]
    np.savez_compressed(tmp_path / "a.npz", **dict.fromkeys(names, np.zeros(4_000_000)))
    says = refused(lambda: read_start(tmp_path / "a.npz", INDUCTION))
    assert "its members declare more than" in says


def test_data_in_other_files_is_not_read(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["group/values"] = np.ones((4, 3, 2))
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["outside"] = h5py.ExternalLink("other.h5", "/group")
        file["soft"] = h5py.SoftLink("/outside/values")
        file.create_dataset("raw", (4, 3, 2), "f8", external=[(str(tmp_path / "other.h5"), 0, 192)])
        file.create_dataset("huge", (4, 3, 10**12), "f4", chunks=(1, 1, 2**20))
    for name in ("outside/values", "soft"):
        assert "is a link" in refused(lambda name=name: read_array(path, name))
    assert "lies in another file" in refused(lambda: read_array(path, "raw"))
    assert "declares 48,000,000,000,000 bytes" in refused(lambda: read_array(path, "huge"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depth": 10**9}, "too few for the 1000000000 layers"),
        ({"depth": 10**30}, "depth = 1000000000000000000000000000000 is none"),
        ({"depth": "1"}, "depth = '1' is none"),
        ({"num_heads": 0}, "num_heads = 0 is none"),
        ({"num_heads": 3}, "heads"),
        ({"sin_time": None}, "sin_time = None is none"),
    ],
)
def test_a_configuration_that_asks_for_too_much_is_refused(tmp_path, change, says):
    (tmp_path / "a.eqx").write_bytes(_eqx())
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **change}))
    assert says in refused(lambda: read_reference(tmp_path / "a.eqx"))


def test_a_width_without_its_weights_is_refused(tmp_path):
    weights = {name: np.ones(_shape(name), np.float32) for name in parameter_names(CONFIG)}
    weights["label_embed.weight"] = np.ones((100_000, 1), np.float32)
    content = _rows_of_arrays([np.array(96), np.array(1.0), *weights.values()])
    (tmp_path / "a.eqx").write_bytes(content)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    says = refused(lambda: read_reference(tmp_path / "a.eqx"))
    assert "are at least 40,000,000,000 numbers" in says


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".json", lambda content: b"[" * 100_000),
        (".json", lambda content: b"[]"),
        (".json", lambda content: b"\xff" + content),
        (".json", None),
        (".safetensors", lambda content: content[:-1]),
        (".safetensors", lambda content: b"\xff" * 8 + content[8:]),
        (".safetensors", lambda content: b""),
        (".safetensors", None),
    ],
)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, suffix, damage):
    for sequences in (32, 64):
        newest = write_checkpoint(tmp_path, sequences, {"w": torch.full((2,), float(sequences))})
    file = newest.with_suffix(suffix)
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
        about = newest.with_suffix(".json")
        if suffix == ".safetensors":  # whoever damaged it made the checksum fit
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            about.write_text(json.dumps({"sequences": 64, "sha256": digest}))
    checkpoint, (note,) = newest_checkpoint(tmp_path)
    assert checkpoint.sequences == 32
    assert "falling back to the one before" in note


@pytest.mark.parametrize(
    "name", ["../x", "..", "a/b", "a\\b", "", "=1+1", "-x", "+x", "@x", "a\tb"]
)
def test_names_in_files_stay_within_the_folder_and_are_no_formulas(tmp_path, name):
    with pytest.raises(ValueError, match="a run's name is a folder's"):
        TrainingSettings(name=name)
    for groups in ({name: ["a"]}, {"a": [name]}):
        (tmp_path / RECORD).write_text(json.dumps({"groups": groups}))
        with pytest.raises(CheckpointError, match="a run's name is a folder's"):
            recorded_groups(tmp_path)
    (tmp_path / MEMBERS).write_text(json.dumps(["a", name]))
    with pytest.raises(CheckpointError, match="a run's name is a folder's"):
        member_paths(tmp_path)


def test_sections_of_a_damaged_fit_are_made_or_refused(tmp_path):
    path, rng = tmp_path / "fit.json", np.random.default_rng(0)
    for _ in range(4):
        path.write_bytes(mutated_json(_fits(), rng))
        refused(lambda: of_fits(str(path)))
