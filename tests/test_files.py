"""Files are whole or absent, and say what they were made from."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from coopetition import CATALOGUE, files, project, read_curves, read_start, write_curves
from coopetition.errors import CoopetitionError
from coopetition.fitting import read_fits, write_fits
from coopetition.forecasting.settings_map import default_map, load_map, save_map
from coopetition.version import __version__


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("stop", [OSError("no space left"), KeyboardInterrupt()], ids=repr)
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, stop: BaseException
) -> None:
    path = tmp_path / "result.json"
    files.write_atomically(path, "old")

    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr(os, step, stopped)
    with pytest.raises(type(stop)):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_file_takes_its_place_when_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> None:
        done.append(("replace", os.stat(old).st_size))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    files.write_atomically(tmp_path / "result.json", b"12345")
    assert done == [("fsync", 5), ("replace", 5)]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_what_it_points_to_is_written(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "far" / "result.json", tmp_path / "link.json"
    if there:
        files.write_atomically(target, "old")
    link.symlink_to(target)
    assert files.write_atomically(link, "new") == link
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_a_file_has_the_mode_of_any_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").write_text("")
        with monkeypatch.context() as patch:
            # it is the whole process's: for a moment other threads' files would have another mode
            patch.delattr(os, "umask")
            path = files.write_atomically(tmp_path / "result.json", "")
    finally:
        os.umask(before)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_provenance_names_version_settings_and_inputs(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("abc")
    about = files.provenance("fit", {"starts": 3}, seed=5, inputs=[path])
    assert about["version"] == __version__
    assert about["settings"] == {"starts": 3}
    assert about["seed"] == 5
    # the SHA-256 of "abc" is published in FIPS 180-2, appendix B.1
    assert about["inputs"][0]["sha256"] == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_tables_come_back_with_their_provenance(tmp_path: Path) -> None:
    columns, about = {"time": np.linspace(0, 1, 5), "icl": np.arange(5.0)}, {"version": "x"}
    csv = files.write_table(tmp_path / "t.csv", columns, about)
    parquet = files.write_table(tmp_path / "t.parquet", columns, about)
    assert pd.read_csv(csv).equals(pd.DataFrame(columns))
    assert pd.read_parquet(parquet).equals(pd.DataFrame(columns))
    assert json.loads((tmp_path / "t.csv.about.json").read_text()) == about
    assert json.loads(pq.read_schema(parquet).metadata[b"coopetition"]) == about


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"end its name in \.csv or \.parquet"):
        files.checked_table_path("result.xlsx")


def test_a_tilde_is_the_users_folder_whoever_reads_or_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)

    (main,) = read_curves("published:main")
    assert write_curves("~/a/curves.csv", main) == home / "a" / "curves.csv"
    assert read_curves("~/a/curves.csv")[0].curves.keys() == main.curves.keys()
    write_fits("~/fits.json", [])
    assert read_fits("~/fits.json") == ()
    save_map(default_map(), "~/map.json")
    assert load_map("~/map.json").parameters == default_map().parameters
    files.write_table("~/table.csv", {"time": [0.0]}, {})
    model = CATALOGUE["induction"]
    vectors = {v: np.ones(n) for v, n in model.dimensions.items()}
    arrays = {f"{kind}_{v}": w for kind in ("init", "true") for v, w in vectors.items()}
    np.savez(home / "start.npz", **arrays)
    there = read_start("~/start.npz", model)
    assert there.state.tolist() == project(model, vectors, vectors).state.tolist()
    assert files.provenance("fit", {}, inputs=["~/map.json"])["inputs"][0]["sha256"]
    assert not list(here.iterdir())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pears:
    names: tuple[str, ...]
    weight: float


def pears_from(path: Path, content: str) -> Pears:
    path.write_text(content)
    return files.read_stored(path, Pears, kind="pears", number=2, remedy="pick new ones")


def test_a_stored_file_is_read_as_its_type(tmp_path: Path) -> None:
    content = '{"format": "coopetition pears 2", "names": ["a"], "weight": 3, "more": null}'
    assert pears_from(tmp_path / "pears.json", content) == Pears(names=("a",), weight=3.0)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ('{"format": "coopetition pears 1", "version": "0.0.9"}', "1, made by coopetition 0.0.9"),
        ('{"format": "coopetition pears 1"}', "made by coopetition of an unknown version"),
        ('{"format": "coopetition apples 2"}', "holds no pears"),
        ('{"format": ["coopetition pears 2"]}', "holds no pears"),
        ("{}", "holds no pears"),
        ("", "damaged"),
        ("[]", "damaged"),
        ("[" * 100_000, "recursion"),
        ('{"format": "coopetition pears 2", "names": [], "weight": "3"}', "weight: "),
        ('{"format": "coopetition pears 2", "names": [[3]], "weight": 3}', r"names\.0: "),
        ('{"format": "coopetition pears 2", "weight": 3}', "names: Field required"),
    ],
)
def test_a_stored_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: str, cause: str
) -> None:
    path = tmp_path / "pears.json"
    with pytest.raises(CoopetitionError, match=cause) as caught:
        pears_from(path, content)
    assert str(caught.value).endswith("pick new ones")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stored_file_that_is_not_there_is_a_stated_failure(tmp_path: Path) -> None:
    with pytest.raises(CoopetitionError, match=r"No such file or directory.*pick new ones"):
        files.read_stored(tmp_path / "no", Pears, kind="pears", number=2, remedy="pick new ones")
