"""Generated functions as machine code, kept on disk by the hash of what they were made from.

The code is compiled by LLVM (llvmlite, which numba brings along: no compiler need be installed) for
the processor it runs on. Cached objects lie in the user's cache folder, or in the folder that the
environment variable COOPETITION_CACHE names; a damaged one is made again.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

from ...errors import unknown_name
from ...files import write_atomically
from ...version import __version__
from ..model import Model
from .arithmetic import Arithmetic, Lanes
from .workspace import CONTROLS, DENSE_ROWS, Workspace

if TYPE_CHECKING:
    from ..reduction import ReducedODE

FORMS = ("flow", "modified")
_FORMAT = 6  # raise it when the generated code changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledODE:
    """A reduced ODE as machine code over one arithmetic.

    Parameters
    ----------
    name, form
        The model's name; ``flow``, or ``modified`` (for descent of step size ``eta``, which is then
        the last parameter).
    state_names, parameter_names, output_names
        Names along each array's last axis.
    signs
        Of each parameter ``positive``, ``nonnegative`` or ``any``.
    defaults
        Parameters' defaults by name.
    layout
        The layout of a step's memory.
    functions
        ``flush``, ``restore``: ``int64 f(mode)``, see `subnormals`; ``begin``, ``step``:
        ``int64 f(work)``; ``rhs``, ``jacobian``, ``outputs``:
        ``void f(count, y, p, p_stride, out)``; ``descend``:
        ``int64 f(count, step_size, threshold, every, y, p, rows)``. Which exist depends on the
        arithmetic.
    made_of
        Model, arithmetic and form: what pickles and copies hold, and make the code of again.
    """

    name: str
    form: str
    state_names: tuple[str, ...]
    parameter_names: tuple[str, ...]
    output_names: tuple[str, ...]
    signs: Mapping[str, str]
    defaults: Mapping[str, float]
    layout: Workspace
    functions: Mapping[str, Any]
    engine: Any = dataclasses.field(repr=False, compare=False)
    made_of: tuple[Any, ...] = dataclasses.field(default=(), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _compiled, self.made_of


_TABLE = ctypes.CFUNCTYPE(
    None, ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int64, ctypes.c_size_t
)
_SIGNATURES: Mapping[str, Any] = {
    "flush": ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64),
    "restore": ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64),
    "begin": ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t),
    "step": ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_size_t),
    "rhs": _TABLE,
    "jacobian": _TABLE,
    "outputs": _TABLE,
    "descend": ctypes.CFUNCTYPE(
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_double,
        ctypes.c_double,
        ctypes.c_int64,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_size_t,
    ),
}


def functions_of(arithmetic: Arithmetic, form: str) -> tuple[str, ...]:
    """Which functions are generated: only what is used over that arithmetic."""
    common = ("flush", "restore", "begin", "step")
    if arithmetic.lanes > 1:
        return common
    descent = ("descend",) if form == "flow" else ()
    plain = ("rhs", "jacobian") if isinstance(arithmetic, Lanes) else ()
    return (*common, "outputs", *descent, *plain)


def cache_folder() -> Path:
    """Where compiled code is kept."""
    chosen = os.environ.get("COOPETITION_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("coopetition"))


def compile_ode(
    model: Model | ReducedODE, arithmetic: Arithmetic | None = None, *, form: str = "flow"
) -> CompiledODE:
    """The machine code of a model, made now, or taken from memory or disk.

    Parameters
    ----------
    model
        A declared model, or a reduced ODE of one's own.
    arithmetic
        `Lanes` (1 by default) or `Dual`.
    form
        ``flow`` or ``modified``.

    Raises
    ------
    ModelError
        If an expression holds a function that no code is known for.
    ValueError
        If the form is unknown.
    """
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    arithmetic = arithmetic or Lanes(1)
    at_hand = (id(model), form, arithmetic)
    if at_hand in _AT_HAND and _AT_HAND[at_hand][0] is model:
        return _AT_HAND[at_hand][1]
    made = _compiled(model, arithmetic, form)
    _AT_HAND[at_hand] = (model, made)
    return made


def _compiled(model: Model | ReducedODE, arithmetic: Arithmetic, form: str) -> CompiledODE:
    key = f"{model.fingerprint}-{form}-{arithmetic.name}-{_machine()}"
    if key not in _COMPILED:
        _COMPILED[key] = _load(key, arithmetic, form) or _make(key, model, arithmetic, form)
    made = _COMPILED[key]
    # models that differ in name and defaults alone share their code
    return dataclasses.replace(
        made,
        name=model.name,
        defaults=_defaults(model, made.parameter_names),
        made_of=(model, arithmetic, form),
    )


_COMPILED: dict[str, CompiledODE] = {}
# by identity, since a model cannot change; the model is kept so that its id stays its own
_AT_HAND: dict[tuple[int, str, Arithmetic], tuple[Model | ReducedODE, CompiledODE]] = {}


def _defaults(model: Model | ReducedODE, names: tuple[str, ...]) -> dict[str, float]:
    if isinstance(model, Model):
        known = {
            **model.parameters,
            **{f"n_{v}": float(n) for v, n in model.dimensions.items()},
            **{f"S_{v}": 1.0 for v in model.vectors},
        }
    else:
        known = dict(model.defaults)
    known.setdefault("eta", 1.0)
    return {name: float(known[name]) for name in names}


def _target() -> Any:
    """A new target machine: an execution engine takes ownership of the one it is given."""
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
    """A short hash of what the machine code depends on besides the equations."""
    facts = (
        _FORMAT,
        __version__,
        llvmlite.__version__,
        llvm.get_default_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        CONTROLS,
        DENSE_ROWS,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _make(key: str, model: Model | ReducedODE, arithmetic: Arithmetic, form: str) -> CompiledODE:
    from .emission import emit

    ode, text = emit(model, arithmetic, form, functions_of(arithmetic, form))
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    target = _target()
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    code = target.emit_object(module)
    facts = {
        "state_names": ode.state_names,
        "parameter_names": ode.parameter_names,
        "output_names": tuple(ode.outputs),
        "signs": {symbol.name: _sign(symbol) for symbol in ode.parameters},
    }
    facts["sha256"] = _checksum(code, facts)
    folder = cache_folder()
    try:
        write_atomically(folder / f"{key}.o", code)
        write_atomically(folder / f"{key}.json", json.dumps(facts))
    except OSError:
        # a read-only home is no reason to fail: the code is only made again next time
        pass
    return _link(key, code, facts, arithmetic, form)


def _sign(symbol: Any) -> str:
    if symbol.is_positive:
        return "positive"
    return "nonnegative" if symbol.is_nonnegative else "any"


def _checksum(code: bytes, facts: Mapping[str, Any]) -> str:
    """SHA-256 of the code and of the names that belong to it."""
    rest = {name: fact for name, fact in facts.items() if name != "sha256"}
    return hashlib.sha256(code + json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _load(key: str, arithmetic: Arithmetic, form: str) -> CompiledODE | None:
    """The cached code, or None where there is none or it is damaged."""
    folder = cache_folder()
    try:
        facts = json.loads((folder / f"{key}.json").read_bytes())
        code = (folder / f"{key}.o").read_bytes()
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or facts.get("sha256") != _checksum(code, facts):
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
    layout = Workspace(
        lanes=arithmetic.lanes,
        size=arithmetic.size,
        states=len(facts["state_names"]),
        parameters=len(facts["parameter_names"]),
    )
    return CompiledODE(
        name=key,
        form=form,
        state_names=tuple(facts["state_names"]),
        parameter_names=tuple(facts["parameter_names"]),
        output_names=tuple(facts["output_names"]),
        signs=facts["signs"],
        defaults={},
        layout=layout,
        functions=functions,
        engine=engine,
    )
