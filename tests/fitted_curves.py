"""Curves that a toy model made, with the parameters behind them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coopetition.curves.curve import Curves
from coopetition.dynamics.catalogue import get
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.model import Model
from coopetition.dynamics.observation import observe
from coopetition.dynamics.readout import Readout

ACCURACIES = tuple((name, "in_context_acc") for name in ("train", "icl", "ciwl", "flip"))
TRUTH = {
    "sequences_per_time": 2e4, "n_d": 150.0, "alpha": 1.2, "mu1": 0.2, "mu2": 0.006,
    "x_a": 0.1, "x_b": 0.35, "x_c": 0.12, "x_d": 0.08, "gain_icl": 1.8, "gain_ciwl": 3.2,
}  # fmt: skip
READOUT_NAMES = ("gain_icl", "gain_ciwl", "sequences_per_time")


def made_by(
    truth: Mapping[str, float],
    *,
    model: Model | None = None,
    until: float = 4000.0,
    points: int = 80,
    run: str = "made",
) -> Curves:
    """The four accuracies that the model reads at these parameters, without noise."""
    declared = model or get("coopetition")
    start = [
        truth.get(f"{kind}_{vector}", 0.0) for vector in declared.vectors for kind in ("x", "y")
    ]
    own = {
        name: value
        for name, value in truth.items()
        if name not in READOUT_NAMES and name[:2] not in ("x_", "y_")
    }
    trajectory = integrate(
        declared,
        parameters=own,
        start=np.array(start),
        until=until,
        times=np.linspace(0.0, until, points),
        rtol=1e-10,
        atol=1e-12,
    )
    readout = Readout(**{name: truth[name] for name in READOUT_NAMES})
    return observe(trajectory.require(), readout, keys=ACCURACIES, run=run)


def noisy(curves: Curves, sem: float, seed: int) -> Curves:
    """The curves with independent normal noise of that standard error."""
    import dataclasses

    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        curves,
        curves={
            key: dataclasses.replace(
                curve,
                values=np.clip(curve.values + sem * rng.standard_normal(len(curve)), 0, 1),
                sem=np.full(len(curve), sem),
            )
            for key, curve in curves.curves.items()
        },
    )


def ordered(values: Mapping[str, float]) -> dict[str, float]:
    """B and c play the same part: the larger start is called b."""
    result = dict(values)
    if result["x_b"] < result["x_c"]:
        result["x_b"], result["x_c"] = result["x_c"], result["x_b"]
    return result
