import dataclasses
import gc
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from problems import own_ode

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.solver import compilation
from coopetition.dynamics.solver.compilation import cache_folder, compile_ode

DECAYING = {"y": "-k*y"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and nothing at hand in memory."""
    monkeypatch.setenv("COOPETITION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compilation, "_COMPILED", {})
    monkeypatch.setattr(compilation, "_BY_IDENTITY", {})
    return tmp_path / "cache"


@pytest.fixture
def forget(monkeypatch):
    """Forget what is in memory, as a new process has."""

    def forget():
        monkeypatch.setattr(compilation, "_COMPILED", {})
        monkeypatch.setattr(compilation, "_BY_IDENTITY", {})

    return forget


@pytest.fixture
def made(monkeypatch):
    """The keys of what was compiled, not loaded."""
    keys = []
    make = compilation._make
    monkeypatch.setattr(
        compilation, "_make", lambda key, *rest: keys.append(key) or make(key, *rest)
    )
    return keys


def slope(ode, y=2.0):
    state, p, out = np.array([y]), np.array(list(ode.defaults.values())), np.empty(1)
    ode.functions["rhs"](1, state.ctypes.data, p.ctypes.data, 0, out.ctypes.data)
    return float(out[0])


def test_code_is_made_once_and_then_taken_from_memory_or_disk(cache, made, forget):
    model = own_ode("first", DECAYING, {"k": 3.0})
    first = compile_ode(model)
    assert compile_ode(model) is first
    assert len(made) == 1
    forget()
    again = compile_ode(model)
    assert len(made) == 1
    assert again is not first
    assert slope(again) == slope(first) == -6.0
    assert again.signs == first.signs
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".o"]


def test_equal_equations_share_code_and_keep_their_own_names_and_defaults(cache, made):
    one = compile_ode(own_ode("one", DECAYING, {"k": 3.0}))
    other = compile_ode(own_ode("other", DECAYING, {"k": 5.0}))
    assert len(made) == 1
    assert (one.name, other.name) == ("one", "other")
    assert (slope(one), slope(other)) == (-6.0, -10.0)
    assert one.functions is other.functions


def test_models_that_differ_in_defaults_alone_integrate_by_their_own(cache, made):
    paper = get("coopetition")
    strict = dataclasses.replace(paper, name="strict", parameters={**paper.parameters, "mu1": 0.0})
    small = dataclasses.replace(paper, name="small", dimensions={**paper.dimensions, "d": 40})
    state = [0.1, 1.0] * 4
    runs = {
        m.name: integrate(m, start=state, until=500.0, compiled=False)
        for m in (paper, strict, small)
    }
    assert len(made) == 1
    assert runs["strict"].parameters["mu1"] == 0.0
    assert runs["small"].parameters["n_d"] == 40.0
    assert runs["coopetition"].parameters["mu1"] == 0.1
    for name, changed in (("strict", {"mu1": 0.0}), ("small", {"n_d": 40.0})):
        same = integrate(paper, start=state, parameters=changed, until=500.0, compiled=False)
        assert np.array_equal(same.states, runs[name].states)
        assert not np.array_equal(runs["coopetition"].states, runs[name].states)


def test_code_found_by_identity_is_never_another_models(cache):
    # an object's id is used again once it is gone, so the table must keep its models alive
    for k in range(200):
        assert slope(compile_ode(own_ode("fleeting", DECAYING, {"k": float(k)}))) == -2.0 * k
        gc.collect(0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda o, j: o.write_bytes(o.read_bytes()[:-100]),
        lambda o, j: o.write_bytes(b""),
        lambda o, j: o.write_bytes(bytes([o.read_bytes()[0] ^ 1]) + o.read_bytes()[1:]),
        lambda o, j: j.write_text("{ half"),
        lambda o, j: j.write_text("[]"),
        lambda o, j: j.write_text("{}"),
        lambda o, j: j.write_bytes(b"\xff\xfe\x00"),
        lambda o, j: j.write_text(
            json.dumps({**json.loads(j.read_text()), "parameter_names": ["q"]})
        ),
        lambda o, j: o.unlink(),
        lambda o, j: j.unlink(),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_made_again(cache, made, forget, damage):
    model = own_ode("damaged", DECAYING, {"k": 3.0})
    compile_ode(model)
    (code,), (facts,) = cache.glob("*.o"), cache.glob("*.json")
    damage(code, facts)
    forget()
    assert slope(compile_ode(model)) == -6.0
    assert len(made) == 2
    forget()
    assert slope(compile_ode(model)) == -6.0
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, forget):
    # a file in the folder's place: even the superuser cannot write below it
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("COOPETITION_CACHE", str(blocked / "cache"))
    forget()
    assert slope(compile_ode(own_ode("homeless", DECAYING, {"k": 3.0}))) == -6.0


POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes and owners are POSIX's")


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022])
def test_a_cache_is_the_users_own(cache, made, forget, umask):
    before = os.umask(umask)
    try:
        compile_ode(own_ode("own", DECAYING, {"k": 3.0}))
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o600}
    forget()
    compile_ode(own_ode("own", DECAYING, {"k": 3.0}))
    assert len(made) == 1


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o720])
def test_a_folder_that_others_can_write_is_neither_read_nor_written(cache, made, forget, mode):
    model = own_ode("open", DECAYING, {"k": 3.0})
    compile_ode(model)
    cache.chmod(mode)
    present = set(cache.iterdir())
    for _ in range(2):
        forget()
        with pytest.warns(RuntimeWarning, match=r"others can write to: .*chmod 700"):
            assert slope(compile_ode(model)) == -6.0
    assert len(made) == 3
    assert set(cache.iterdir()) == present
    cache.chmod(0o755)  # others may read
    forget()
    assert slope(compile_ode(model)) == -6.0
    assert len(made) == 3


@POSIX
def test_a_folder_of_another_user_is_not_used(cache, made, forget, monkeypatch):
    model = own_ode("foreign", DECAYING, {"k": 3.0})
    compile_ode(model)
    forget()
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    with pytest.warns(RuntimeWarning, match="another user's"):
        assert slope(compile_ode(model)) == -6.0
    assert len(made) == 2


@POSIX
def test_an_entry_that_others_can_write_is_made_again(cache, made, forget):
    model = own_ode("entry", DECAYING, {"k": 3.0})
    compile_ode(model)
    (code,) = cache.glob("*.o")
    code.chmod(0o666)
    forget()
    assert slope(compile_ode(model)) == -6.0
    assert len(made) == 2
    assert stat.S_IMODE(code.stat().st_mode) == 0o600


@POSIX
def test_a_read_only_folder_is_read(cache, made, forget):
    model = own_ode("kept", DECAYING, {"k": 3.0})
    compile_ode(model)
    cache.chmod(0o500)
    forget()
    assert slope(compile_ode(model)) == -6.0
    assert len(made) == 1
    cache.chmod(0o700)


def test_an_entry_under_anothers_name_is_made_again(cache, made, forget):
    one, other = (own_ode("one", {"y": f"{sign}k*y"}, {"k": 3.0}) for sign in ("-", ""))
    compile_ode(one)
    (code,), (facts,) = cache.glob("*.o"), cache.glob("*.json")
    compile_ode(other)
    for file, suffix in ((code, ".o"), (facts, ".json")):
        (its,) = (path for path in cache.glob(f"*{suffix}") if path != file)
        its.write_bytes(file.read_bytes())
    forget()
    assert slope(compile_ode(other)) == 6.0
    assert len(made) == 3


def test_no_half_written_file_is_left(cache, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    assert slope(compile_ode(own_ode("full", DECAYING, {"k": 3.0}))) == -6.0
    assert list(cache.iterdir()) == []


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("COOPETITION_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("COOPETITION_CACHE")
    assert cache_folder().name == "coopetition"


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="did you mean 'modified'"):
        compile_ode(get("induction"), form="modifed")


def test_a_second_process_derives_nothing_and_waits_for_no_compiler(tmp_path):
    program = (
        "import sys; from coopetition.dynamics.integration import integrate; "
        "from coopetition.dynamics.catalogue import get; "
        "print(integrate(get('induction'), until=100.0, compiled=False).states[-1].tolist(), "
        "'numba' in sys.modules, 'coopetition.dynamics.solver.llvm_module' in sys.modules)"
    )
    environment = {**os.environ, "COOPETITION_CACHE": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert said[0].endswith("False True")
    assert said[1] == said[0].replace("False True", "False False")
