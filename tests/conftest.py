"""What several tests start from."""

from __future__ import annotations

import os

# small networks gain nothing from threads, which wait for one another where cores are shared;
# decided before NumPy and torch are imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.starts import Start, project

# without a GPU kernels are interpreted, which is decided before the first of them is imported
os.environ.setdefault("TRITON_INTERPRET", "0" if Path("/dev/nvidiactl").exists() else "1")

# known-good numbers, beside the repository where they are at hand
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def toy_reference() -> Mapping[str, Any]:
    """Twelve runs of the published code: initial vectors, loss traces, stopping steps."""
    path = SHARED_DATA / "toy" / "reference_seeds_00_11.npz"
    if not path.exists():
        pytest.skip(f"no reference runs at {path}")
    with np.load(path) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def reference_vectors(toy_reference: Mapping[str, Any]) -> list[tuple[dict, dict]]:
    """Initial and target vectors of each seed, by name."""
    return [
        tuple(
            {v: toy_reference[f"seed{k:02}_{kind}_{v}"].astype(np.float64) for v in "abcd"}
            for kind in ("init", "true")
        )
        for k in range(12)
    ]


@pytest.fixture(scope="session")
def reference_starts(reference_vectors: list[tuple[dict, dict]]) -> list[Start]:
    """The reduced start of each seed."""
    return [project(get("coopetition"), *vectors) for vectors in reference_vectors]


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training run that nothing interrupted; to be read only."""
    from short_runs import go, small

    folder = tmp_path_factory.mktemp("unbroken") / "run"
    go(small(), folder)
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sweep that nothing disturbed; to be read and continued only."""
    from small_sweeps import go

    from coopetition.train.sweeps.executors import local_executor

    folder = tmp_path_factory.mktemp("undisturbed") / "sweep"
    with local_executor(2) as executor:
        result = go(folder, executor)
    assert not result.failed, result.summary()
    return folder
