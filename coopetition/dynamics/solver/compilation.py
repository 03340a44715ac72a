"""Generated functions as machine code, cached on disk by a hash of their sources.

LLVM (llvmlite, which numba depends on, so no compiler need be installed) compiles for the processor
at hand. The cache is the user's cache folder, or the folder that the environment variable
COOPETITION_CACHE names; a damaged file is made again. Loading a file runs its code, so the cache
must be the user's own and writable by nobody else; any other is neither read nor written, and each
process compiles for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

from ...arrays import Array, is_private
from ...errors import unknown_name
from ...files import write_atomically
from ...version import __version__
from ..model import Model
from .arithmetic import Arithmetic
from .loop import CONTROLS, DENSE_ROWS, Workspace

if TYPE_CHECKING:
    from ..reduction import ReducedODE

FORMS = ("flow", "modified")
SINGLE = Arithmetic()
_FORMAT = 7  # raise it when the generated code, or what is kept of it, changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledODE:
    """A reduced ODE as machine code over one arithmetic."""

    name: str
    form: str  # flow, or modified: for descent of step size eta, then the last parameter
    state_names: tuple[str, ...]  # names along each array's last axis
    parameter_names: tuple[str, ...]
    output_names: tuple[str, ...]
    signs: Mapping[str, str]  # of each parameter: positive, nonnegative or any
    defaults: Mapping[str, float]
    layout: Workspace
    functions: Mapping[str, Any]  # by name, as in `_SIGNATURES`
    engine: Any = dataclasses.field(repr=False, compare=False)
    # model, arithmetic and form: pickles and copies hold these, and compile again
    sources: tuple[Any, ...] = dataclasses.field(default=(), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _compiled, self.sources

    def named(self, p: Array) -> dict[str, float]:
        """Parameters ``(p,)`` by their names."""
        return dict(zip(self.parameter_names, p.tolist(), strict=True))


_INT, _DOUBLE, _ADDRESS = ctypes.c_int64, ctypes.c_double, ctypes.c_size_t
# rows of outputs from rows of states: f(count, y, p, p_stride, out)
_TABLE = ctypes.CFUNCTYPE(None, _INT, _ADDRESS, _ADDRESS, _INT, _ADDRESS)
_SIGNATURES: Mapping[str, Any] = {
    "flush": ctypes.CFUNCTYPE(_INT, _INT),  # takes subnormals as zero, returns the mode before
    "restore": ctypes.CFUNCTYPE(_INT, _INT),  # f(mode)
    "begin": ctypes.CFUNCTYPE(_INT, _ADDRESS),  # f(work)
    "step": ctypes.CFUNCTYPE(_INT, _ADDRESS),
    "rhs": _TABLE,
    "jacobian": _TABLE,
    "outputs": _TABLE,
    # f(count, step_size, threshold, every, y, p, rows)
    "descend": ctypes.CFUNCTYPE(_INT, _INT, _DOUBLE, _DOUBLE, _INT, _ADDRESS, _ADDRESS, _ADDRESS),
}


def functions_of(arithmetic: Arithmetic, form: str) -> tuple[str, ...]:
    """The names of the functions generated: those that are used over that arithmetic."""
    common = ("flush", "restore", "begin", "step")
    if arithmetic.lanes > 1:
        return common
    descent = ("descend",) if form == "flow" else ()
    tables = () if arithmetic.directions else ("rhs", "jacobian")
    return (*common, "outputs", *descent, *tables)


def cache_folder() -> Path:
    if folder := os.environ.get("COOPETITION_CACHE"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("coopetition"))


def private_cache() -> Path | None:
    """The cache folder, made for the user alone where it is not there; None if it is not private.

    What others can write there, this process would run.
    """
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_private(folder.stat()):
            return folder
    except OSError:
        return None  # a read-only home is no reason to fail: the code is made in each process
    warnings.warn(
        f"no compiled code is kept in {folder}, which is another user's or others can write to: "
        "empty it and run chmod 700 on it, or set COOPETITION_CACHE to a folder of your own",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def compile_ode(
    model: Model | ReducedODE, arithmetic: Arithmetic = SINGLE, *, form: str = "flow"
) -> CompiledODE:
    """The machine code of a model, from memory, from disk, or compiled now.

    Raises `ValueError` if the form is unknown, `ModelError` if an expression holds a function for
    which no code can be generated.
    """
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    key = (id(model), form, arithmetic)
    if key not in _BY_IDENTITY:
        _BY_IDENTITY[key] = (model, _compiled(model, arithmetic, form))
    return _BY_IDENTITY[key][1]


def _compiled(model: Model | ReducedODE, arithmetic: Arithmetic, form: str) -> CompiledODE:
    key = f"{model.fingerprint}-{form}-{arithmetic.name}-{_machine()}"
    if key not in _COMPILED:
        _COMPILED[key] = _load(key, arithmetic, form) or _make(key, model, arithmetic, form)
    shared = _COMPILED[key]
    defaults = {"eta": 1.0, **model.defaults}
    # models that differ only in name and defaults share their code
    return dataclasses.replace(
        shared,
        name=model.name,
        defaults={name: float(defaults[name]) for name in shared.parameter_names},
        sources=(model, arithmetic, form),
    )


_COMPILED: dict[str, CompiledODE] = {}
# by identity, since a model cannot change; keeping the model keeps its id from being reused
_BY_IDENTITY: dict[tuple[int, str, Arithmetic], tuple[Model | ReducedODE, CompiledODE]] = {}


def _target() -> Any:
    """A new target machine: an execution engine takes ownership of its own."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


@functools.cache
def _machine() -> str:
    """A short hash of everything but the equations on which the machine code depends."""
    facts = (
        _FORMAT, __version__, llvmlite.__version__, llvm.get_default_triple(),
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), CONTROLS, DENSE_ROWS,
    )  # fmt: skip
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _make(key: str, model: Model | ReducedODE, arithmetic: Arithmetic, form: str) -> CompiledODE:
    from .llvm_module import emit

    ode, text = emit(model, arithmetic, form, functions_of(arithmetic, form))
    module = llvm.parse_assembly(text)
    module.verify()
    target = _target()
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    code = target.emit_object(module)
    facts = {
        "state_names": ode.state_names,
        "parameter_names": ode.parameter_names,
        "output_names": tuple(ode.outputs),
        "signs": {symbol.name: _sign(symbol) for symbol in ode.parameters},
    }
    facts["sha256"] = _checksum(key, code, facts)
    if (folder := private_cache()) is not None:
        with contextlib.suppress(OSError):  # a full disk: the code is only made again next time
            write_atomically(folder / f"{key}.o", code, mode=0o600)
            write_atomically(folder / f"{key}.json", json.dumps(facts), mode=0o600)
    return _link(key, code, facts, arithmetic, form)


def _sign(symbol: Any) -> str:
    if symbol.is_positive:
        return "positive"
    return "nonnegative" if symbol.is_nonnegative else "any"


def _checksum(key: str, code: bytes, facts: Mapping[str, Any]) -> str:
    """SHA-256 of the code, its facts and its key, which says what it was made from and for."""
    rest = {**{name: fact for name, fact in facts.items() if name != "sha256"}, "key": key}
    return hashlib.sha256(code + json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _load(key: str, arithmetic: Arithmetic, form: str) -> CompiledODE | None:
    """The cached code; None if it is missing or damaged, or others can write it."""
    folder = private_cache()
    if folder is None:
        return None
    try:
        facts = json.loads((folder / f"{key}.json").read_bytes())
        with (folder / f"{key}.o").open("rb") as file:
            if not is_private(os.fstat(file.fileno())):
                return None
            code = file.read()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.get("sha256") != _checksum(key, code, facts):
        return None
    return _link(key, code, facts, arithmetic, form)


def _link(
    key: str, code: bytes, facts: Mapping[str, Any], arithmetic: Arithmetic, form: str
) -> CompiledODE:
    """Load object code into the process and take its functions' addresses."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    functions = {
        name: _SIGNATURES[name](engine.get_function_address(name))
        for name in functions_of(arithmetic, form)
    }
    states, parameters = len(facts["state_names"]), len(facts["parameter_names"])
    return CompiledODE(
        name=key,
        form=form,
        state_names=tuple(facts["state_names"]),
        parameter_names=tuple(facts["parameter_names"]),
        output_names=tuple(facts["output_names"]),
        signs=facts["signs"],
        defaults={},
        layout=Workspace(arithmetic.lanes, arithmetic.size, states, parameters),
        functions=functions,
        engine=engine,
    )
