"""The house rules that a reader relies on, checked on the source itself."""

import ast
import configparser
import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import coopetition

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "coopetition"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
LONGEST = 500  # lines of a file
MOST = 16  # modules of a folder, besides its `__init__`

# a module imports only what stands above it; ground files come first, then the rooms
GROUND = ("version", "errors", "seeds", "files", "arrays")
ROOMS = (
    "data", "curves", "settings", "logs", "dynamics", "fitting", "forecasting", "train",
    "proposal", "report",
)  # fmt: skip
ORDER = (*GROUND, *ROOMS)
STRANGERS = {"forecasting", "train"}  # which meet in `proposal`


def paths(sources):
    return pytest.mark.parametrize(
        "path", sources, ids=lambda p: str(p.relative_to(ROOT)).replace("\\", "/")
    )


def imports(path):
    """Dotted names of what a file imports at run time, as far as they lie in the package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            if node.module:
                yield (*base, *node.module.split("."))
            else:
                yield from ((*base, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "coopetition":
            yield tuple(node.module.split("."))
        elif isinstance(node, ast.Import):
            yield from (
                tuple(a.name.split(".")) for a in node.names if a.name.startswith("coopetition.")
            )


def outside_imports(path):
    """Top-level names of the other packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def room(path):
    """The module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


INSIDE = [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"]


@paths(INSIDE)
def test_imports_run_downward(path):
    own = room(path)
    assert own in ORDER, f"{own} has no place in ORDER: put it below all that it imports"
    for name in imports(path):
        other = name[1] if len(name) > 1 else "__init__"
        assert other == own or other in ORDER[: ORDER.index(own)], f"{own} imports {other}"


def test_no_module_imports_itself_in_a_circle():
    graph = {}
    for path in INSIDE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = parts[:-1] if parts[-1] == "__init__" else parts
        graph[module] = set(imports(path))
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, " -> ".join(".".join(m) for m in [*open_, module])
        if module in done or module not in graph:
            return
        open_.append(module)
        for other in graph[module]:
            # a folder's own files may be named through it: from .models import Model
            if other != module[: len(other)]:
                visit(other)
        open_.pop()
        done.add(module)

    for module in graph:
        visit(module)
    assert done == set(graph)


@paths([p for p in INSIDE if room(p) in STRANGERS])
def test_forecasting_and_training_do_not_know_each_other(path):
    (other,) = STRANGERS - {room(path)}
    assert ("coopetition", other) not in {name[:2] for name in imports(path)}


@paths(INSIDE)
def test_only_training_and_proposal_import_torch(path):
    if room(path) not in ("train", "proposal"):
        assert "torch" not in set(outside_imports(path))


def test_the_command_line_is_imported_by_nothing():
    for path in INSIDE:
        assert not {"coopetition_cli", "cli"} & set(outside_imports(path)), path


@paths(SOURCES)
def test_a_file_is_short_documented_and_says_nothing_by_itself(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= LONGEST
    assert not text or ast.get_docstring(tree), "no docstring"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except at line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print at line {node.lineno}"
    assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common"}


@paths(sorted((ROOT / "tests").glob("*.py")))
def test_tests_are_short_too(path):
    assert path.read_text(encoding="utf-8").count("\n") <= LONGEST


def test_the_top_level_holds_the_rooms_and_a_little_ground():
    assert {p.stem for p in PACKAGE.glob("*.py")} == {"__init__", *GROUND}
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(ROOMS)
    assert len(GROUND) <= 5


def test_no_folder_is_crowded():
    for folder in {p.parent for p in SOURCES if p.is_relative_to(PACKAGE)}:
        assert len([p for p in folder.glob("*.py") if p.stem != "__init__"]) <= MOST, folder


def test_the_list_of_packages_is_the_tree():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(setup["options"]["packages"].split())
    folders = {p.parent.relative_to(ROOT) for p in PACKAGE.rglob("*.py")}
    assert listed == {"coopetition_cli"} | {".".join(folder.parts) for folder in folders}
    mapped = setup["options"]["package_dir"].split()
    assert mapped == ["coopetition_cli", "=", "cli"]
    assert not [p for p in (ROOT / "cli").rglob("*.py") if p.parent != ROOT / "cli"]


def test_each_folder_of_sources_is_a_package():
    for folder in {p.parent for p in SOURCES}:
        assert (folder / "__init__.py").exists(), folder


def loaded_by(statement):
    """Top-level names of the modules in memory after a statement in a new process."""
    program = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    return {name.split(".")[0] for name in json.loads(said)}


HEAVY = {
    "h5py", "llvmlite", "matplotlib", "numba", "pandas", "pyarrow", "scipy", "torch", "yaml",
}  # fmt: skip


def test_importing_the_package_is_cheap():
    loaded = loaded_by("import coopetition")
    assert "coopetition" in loaded
    assert not {*HEAVY, "numpy", "sympy"} & loaded


def test_integrating_waits_for_nothing_it_does_not_use():
    # llvmlite, which loads the generated code, is needed
    assert HEAVY & loaded_by("import coopetition.dynamics.integration") == {"llvmlite"}


def test_every_public_name_is_there():
    for name in coopetition.__all__:
        assert getattr(coopetition, name) is not None
    assert set(coopetition.__all__) <= set(dir(coopetition))
    with pytest.raises(AttributeError, match="No coopetition attribute integrat"):
        _ = coopetition.integrat


def test_every_room_is_there_without_being_imported_before():
    rooms = [m.name for m in pkgutil.iter_modules(coopetition.__path__) if m.ispkg]
    rooms.remove("data")  # files, no code
    assert set(rooms) <= set(dir(coopetition))
    light = [room for room in rooms if room != "report"]  # which draws
    loaded = loaded_by(
        "import coopetition\n"
        f"for name in {light}: getattr(coopetition, name).__name__\n"
        "coopetition.train.preset('cpu-never')"
    )
    assert "torch" not in loaded


def test_the_training_room_has_names_for_what_it_is_asked_for():
    for name in coopetition.train.__all__:
        assert callable(getattr(coopetition.train, name))
    with pytest.raises(AttributeError, match=r"No coopetition\.train attribute trian"):
        _ = coopetition.train.trian


def documented_modules():
    names = [m.name for m in pkgutil.walk_packages(coopetition.__path__, "coopetition.")]
    # examples of the training room are run by its own tests
    return [n for n in names if not n.startswith("coopetition.train")]


@pytest.mark.parametrize("name", documented_modules())
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_examples_in_docstrings_are_found_at_all():
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in documented_modules()
        for case in finder.find(importlib.import_module(name))
        for example in case.examples
    ]
    assert len(examples) > 10


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_say_what_they_show(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")]),
    ids=lambda p: p.name,
)
def test_what_scripts_import_of_the_package_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in (alias.name for alias in node.names if "." in alias.name):
                if name.split(".")[0] in sys.stdlib_module_names:
                    importlib.import_module(name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("coopetition"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
