"""Theories whose posteriors and curves are known, and runs made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coopetition.curves.curve import Curve, Curves
from coopetition.forecasting.theories.theory import TheoryParameter

EVALUATORS = ("train", "icl", "ciwl", "flip")


def parameter(name: str, centre: float = 1.0, time_scale: float = 0.0) -> TheoryParameter:
    return TheoryParameter(
        name=name,
        centre=centre,
        spread=1.0,
        seed_spread=0.1,
        setting_spread=0.5,
        time_scale=time_scale,
    )


class Line:
    """Every accuracy is ½ + 0.1 θ₁ + 0.1 θ₂ t/T: linear in θ, so posteriors are Gaussian."""

    name = "line"
    parameters = (parameter("level"), parameter("slope"))

    def __init__(self, span: float = 100.0) -> None:
        self.span = span

    def design(self, times: np.ndarray) -> np.ndarray:
        return 0.1 * np.stack([np.ones_like(times), times / self.span], axis=1)

    def curves(self, thetas: np.ndarray, times: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict.fromkeys(EVALUATORS, 0.5 + thetas @ self.design(times).T)

    def slopes(self, theta, times):
        return dict.fromkeys(EVALUATORS, (0.5 + self.design(times) @ theta, self.design(times)))


class Folded(Line):
    """½ + 0.1 |θ₁| at all times: a posterior with two modes, and θ₂ free."""

    name = "folded"

    def curves(self, thetas: np.ndarray, times: np.ndarray) -> Mapping[str, np.ndarray]:
        level = 0.5 + 0.1 * np.abs(thetas[:, :1])
        return dict.fromkeys(EVALUATORS, np.repeat(level, len(times), axis=1))


def run_of(
    accuracies: Mapping[str, np.ndarray],
    times: np.ndarray,
    *,
    run: str = "made",
    settings: Mapping | None = None,
    sem: float = 0.005,
) -> Curves:
    return Curves(
        run=run,
        curves={
            (evaluator, "in_context_acc"): Curve(
                evaluator=evaluator,
                metric="in_context_acc",
                sequences=times,
                values=values,
                sem=np.full(len(times), sem),
            )
            for evaluator, values in accuracies.items()
        },
        settings=dict(settings or {}),
    )
