"""Compiles the fused step's kernels for a GPU that need not be there, and says what they take.

    python tests/fused_compilation.py CAPABILITY [SETTINGS …]

SETTINGS are JSON objects: ``members``, ``batch``, ``context``, ``precision``, ``optimisation`` and
fields of `NetworkSettings`. Prints one JSON object a kernel and line. It is a program of its own
because kernels are either interpreted or compiled throughout a process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from coopetition.settings.training import NetworkSettings, OptimisationSettings
from coopetition.train.compute.triton.fused_step import PRECISIONS
from coopetition.train.compute.triton.launches import Launch, Launches, Numbers
from coopetition.train.compute.triton.layout import choose_tiles
from coopetition.train.compute.triton.lazy_labels import LazyLabels
from coopetition.train.network.network import Network
from coopetition.train.optimisation.optimiser import Optimiser
from coopetition.train.sequences.batch import Batch

TYPES = {
    torch.float32: "*fp32", torch.float64: "*fp64", torch.int64: "*i64", torch.int32: "*i32",
}  # fmt: skip
ALIGNED = [["tt.divisibility", 16]]


def launches_of(
    members: int = 1,
    batch: int = 32,
    context: int = 2,
    precision: str = "fp32",
    optimisation: dict[str, Any] | None = None,
    lazy: bool = False,
    **network: Any,
) -> list[Launch]:
    """The launches of a step at the papers' sizes, or others, without memory behind them."""
    settings = NetworkSettings(**{"n_labels": 12_800, "input_dim": 64, **network})
    model = Network(settings, members).to("meta")
    optimiser = Optimiser(model, [OptimisationSettings(**(optimisation or {}))] * members, ())
    shown = Batch(
        examples=torch.empty(members, batch, context + 1, settings.input_dim, device="meta"),
        labels=torch.empty(members, batch, context, dtype=torch.int64, device="meta"),
        target=torch.empty(members, batch, dtype=torch.int64, device="meta"),
    )
    tiles = choose_tiles(members, batch, context, settings, precision)
    numbers = Numbers(optimiser)
    made = Launches(
        model, optimiser, numbers, batch, context, tiles, PRECISIONS[precision], lazy
    ).all(shown)
    if lazy:
        labels = LazyLabels(optimiser, numbers)
        made += [labels.before(shown), labels.settle()]
    return made


def compiled(launch: Launch, capability: int) -> dict[str, Any]:
    """Resources of one kernel."""
    signature, constants, attributes = {}, {}, {}
    for index, (name, value) in enumerate(launch.arguments.items()):
        if name.isupper() or (isinstance(value, int) and value == 1):
            signature[name], constants[name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name], attributes[(index,)] = TYPES[value.dtype], ALIGNED
        elif isinstance(value, int):
            signature[name] = "i32"
            if value % 16 == 0:
                attributes[(index,)] = ALIGNED
        else:
            signature[name] = "fp32"
    kernel = triton.compile(
        ASTSource(launch.kernel, signature, constants, attributes),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": launch.warps, "num_stages": 1},
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [tools / "cuobjdump", "--dump-resource-usage", file.name],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", said).groups()
    return {
        "kernel": launch.kernel.__name__,
        "grid": launch.grid,
        "warps": launch.warps,
        "registers": int(registers),
        "stack": int(stack),
        "shared": kernel.metadata.shared,
    }


if __name__ == "__main__":
    capability, *cases = sys.argv[1:]
    for case in cases or ["{}"]:
        for launch in launches_of(**json.loads(case)):
            line = {**compiled(launch, int(capability)), "case": json.loads(case)}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
