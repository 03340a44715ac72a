"""The paper's descent in the full 220 numbers: plain numpy, and PyTorch's autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ode_problem import MODEL, STEPS, STOP_BELOW, ode, problem

from coopetition.dynamics.starts import project

Call = Callable[[], np.ndarray]


def _constants() -> tuple[float, float, float]:
    names = ode().parameter_names
    return tuple(float(problem().parameters[names.index(n)]) for n in ("alpha", "mu1", "mu2"))


def _reduced(step: int, vectors: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([step, *project(MODEL, vectors, problem().target).state])


def with_numpy() -> Call:
    """Gradients of L = (L1 + mu1)(L2 + mu2) + alpha K written out, on the full tensors."""
    given = problem()
    alpha, mu1, mu2 = _constants()
    outer = "i,j,k->ijk"
    goal1 = np.einsum(outer, *(given.target[v] for v in "abc"))
    goal2 = np.einsum(outer, *(given.target[v] for v in "dbc"))

    def call() -> np.ndarray:
        a, b, c, d = (given.initial[v].copy() for v in "abcd")
        for step in range(STEPS + 1):
            miss1 = np.einsum(outer, a, b, c) - goal1
            miss2 = np.einsum(outer, d, b, c) - goal2
            loss1, loss2 = 0.5 * np.mean(miss1**2), 0.5 * np.mean(miss2**2)
            cost = 0.5 * np.mean(a**2) * np.mean(d**2)
            if (loss1 + mu1) * (loss2 + mu2) - mu1 * mu2 + alpha * cost < STOP_BELOW:
                break
            if step == STEPS:
                break
            weight1, weight2 = (loss2 + mu2) / miss1.size, (loss1 + mu1) / miss2.size
            left1, left2 = miss1 @ c, miss2 @ c
            along1, along2 = left1 @ b, left2 @ b
            slope_a = weight1 * along1 + alpha * a / len(a) * np.mean(d**2)
            slope_d = weight2 * along2 + alpha * d / len(d) * np.mean(a**2)
            slope_b = weight1 * (a @ left1) + weight2 * (d @ left2)
            slope_c = weight1 * (b @ np.tensordot(a, miss1, 1)) + weight2 * (
                b @ np.tensordot(d, miss2, 1)
            )
            a, b, c, d = a - slope_a, b - slope_b, c - slope_c, d - slope_d
        return _reduced(step, {"a": a, "b": b, "c": c, "d": d})

    return call


def with_torch() -> Call:
    """The loss on the full tensors, gradients by autograd."""
    import torch

    torch.set_num_threads(1)
    given = problem()
    alpha, mu1, mu2 = _constants()
    target = {v: torch.tensor(w) for v, w in given.target.items()}
    goal1 = torch.einsum("i,j,k->ijk", *(target[v] for v in "abc"))
    goal2 = torch.einsum("i,j,k->ijk", *(target[v] for v in "dbc"))

    def call() -> np.ndarray:
        vectors = [torch.tensor(given.initial[v], requires_grad=True) for v in "abcd"]
        for step in range(STEPS + 1):
            a, b, c, d = vectors
            loss1 = 0.5 * (torch.einsum("i,j,k->ijk", a, b, c) - goal1).square().mean()
            loss2 = 0.5 * (torch.einsum("i,j,k->ijk", d, b, c) - goal2).square().mean()
            cost = 0.5 * a.square().mean() * d.square().mean()
            loss = (loss1 + mu1) * (loss2 + mu2) + alpha * cost
            if loss.item() - mu1 * mu2 < STOP_BELOW or step == STEPS:
                break
            slopes = torch.autograd.grad(loss, vectors)
            with torch.no_grad():
                for vector, slope in zip(vectors, slopes, strict=True):
                    vector -= slope
        return _reduced(step, {v: w.detach().numpy() for v, w in zip("abcd", vectors, strict=True)})

    return call


METHODS = {
    "descent": {
        "numpy, full tensors": with_numpy,
        "torch autograd, full tensors": with_torch,
    }
}
