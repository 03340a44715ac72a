"""The fused step's kernels compile for GPUs that need not be there, within their resources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
PROGRAM = Path(__file__).with_name("fused_compilation.py")
SHARED_MEMORY = 227 * 1024  # bytes that one program may take on compute capability 9.0
STACK = 64  # bytes; more is registers spilt in a loop
KERNELS = {
    "trunk_forward", "unembedding_forward", "unembedding_backward", "trunk_backward", "update_rest",
}  # fmt: skip
PAPERS = [
    {"members": members, "width": width, "context": context, "precision": precision}
    for members in (1, 32)
    for width in (32, 64, 128)
    for context in (2, 8)
    for precision in ("fp32", "tf32x3")
]
OTHERS = [
    {"precision": "tf32"},
    {"precision": "bf16"},
    {"width": 16, "heads": 1, "batch": 8},
    {"width": 256, "batch": 128},
    {"positions": "rotary", "bias": True, "mlp_ratio": 4.0},
    {"positions": "sinusoidal", "input_dim": 784, "depth": 12},
    {"context": 31, "optimisation": {"optimizer": "adamw", "weight_decay": 0.1}},
    {"optimisation": {"schedule": "cosine", "weight_decay": 0.1}},
    {"optimisation": {"schedule": "warmup_decay"}},
]
LAZY, MORE = {"members": 32, "lazy": True}, ("make_up", "make_up")


def resources(capability, cases):
    """What the kernels of each case take."""
    said = subprocess.run(
        [sys.executable, PROGRAM, str(capability), *map(json.dumps, cases)],
        capture_output=True, text=True, env={**os.environ, "TRITON_INTERPRET": "0"}, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-3_000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


def check(capability, cases):
    found = resources(capability, cases)
    expected = [name for case in cases for name in (*KERNELS, *MORE * case.get("lazy", False))]
    assert sorted(kernel["kernel"] for kernel in found) == sorted(expected)
    for kernel in found:
        assert kernel["shared"] <= SHARED_MEMORY, kernel
        assert kernel["stack"] <= STACK, kernel


def test_the_papers_step_compiles():
    check(90, [{}, LAZY])


@pytest.mark.slow
def test_every_kind_of_step_compiles():
    check(90, PAPERS + OTHERS)
    check(80, [{}, {"members": 32, "precision": "tf32x3"}, {**LAZY, "width": 128}])
