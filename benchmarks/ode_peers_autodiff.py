"""Peers of the differentiable kind: diffrax (JAX) and torchdiffeq (PyTorch)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ode_problem import ATOL, RTOL, UNTIL, VARIED, ode, problem, straight_line

Call = Callable[[], np.ndarray]
TOGETHER = 64  # parameter sets of the vmapped sensitivities


def _solver(name: str, **more: Any) -> Callable:
    """``(y0, p, save points) -> states`` by diffrax, traced in double precision."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import diffrax
    import jax.numpy as jnp

    function = straight_line(
        ode().rhs, ode().state, head="(y, p)", into=None, namespace={"sqrt": jnp.sqrt}
    )
    term = diffrax.ODETerm(lambda t, y, p: jnp.stack(function(y, p)))

    def solve(y0, p, save):
        return diffrax.diffeqsolve(
            term, getattr(diffrax, name)(), 0.0, UNTIL, None, y0, p,
            saveat=diffrax.SaveAt(ts=save), max_steps=16**4,
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL), **more,
        ).ys  # fmt: skip

    return solve


def _diffrax_single(name: str) -> Call:
    solve = _solver(name)
    import jax

    given, jitted = problem(), jax.jit(solve)
    arguments = [jax.device_put(a) for a in (given.start.state, given.parameters, given.times)]
    return lambda: np.asarray(jitted(*arguments))


def single_dopri5() -> Call:
    return _diffrax_single("Dopri5")


def single_tsit5() -> Call:
    return _diffrax_single("Tsit5")


def _diffrax_batch(name: str) -> Call:
    solve = _solver(name)
    import jax

    given = problem()
    jitted = jax.jit(jax.vmap(solve, in_axes=(None, 0, None)))
    arguments = [jax.device_put(a) for a in (given.start.state, given.members, np.array([UNTIL]))]
    return lambda: np.asarray(jitted(*arguments))[:, -1]


def batch_dopri5() -> Call:
    return _diffrax_batch("Dopri5")


def batch_tsit5() -> Call:
    return _diffrax_batch("Tsit5")


def _with_sensitivities() -> tuple[Callable, Any]:
    import diffrax

    solve = _solver("Dopri5", adjoint=diffrax.ForwardMode())
    import jax
    import jax.numpy as jnp

    places = np.array([ode().parameter_names.index(n) for n in VARIED])

    def both(values, y0, p, save):
        def states(values):
            made = solve(y0, p.at[places].set(values), save)
            return made, made

        slopes, made = jax.jacfwd(states, has_aux=True)(values)
        return jnp.concatenate([made[..., None], slopes], axis=-1)

    return both, jax


def sensitivities() -> Call:
    both, jax = _with_sensitivities()
    given, jitted = problem(), jax.jit(both)
    places = [ode().parameter_names.index(n) for n in VARIED]
    arguments = [
        jax.device_put(a)
        for a in (given.parameters[places], given.start.state, given.parameters, given.times)
    ]
    return lambda: np.asarray(jitted(*arguments))


def sensitivities_vmapped() -> Call:
    """Many parameter sets at once (here: equal ones, so that none waits for another)."""
    both, jax = _with_sensitivities()
    given = problem()
    jitted = jax.jit(jax.vmap(both, in_axes=(0, None, None, None)))
    places = [ode().parameter_names.index(n) for n in VARIED]
    values = np.tile(given.parameters[places], (TOGETHER, 1))
    arguments = [
        jax.device_put(a) for a in (values, given.start.state, given.parameters, given.times)
    ]
    return lambda: np.asarray(jitted(*arguments))


def single_torchdiffeq() -> Call:
    import torch
    import torchdiffeq

    torch.set_num_threads(1)
    given = problem()
    function = straight_line(
        ode().rhs, ode().state, head="(y, p)", into=None, namespace={"sqrt": math.sqrt}
    )
    parameters = given.parameters.tolist()
    y0 = torch.tensor(given.start.state)
    grid = torch.tensor(np.concatenate([[0.0], given.times]))

    def call() -> np.ndarray:
        with torch.no_grad():
            made = torchdiffeq.odeint(
                lambda t, y: torch.stack(function(y, parameters)), y0, grid,
                rtol=RTOL, atol=ATOL, method="dopri5",
            )  # fmt: skip
        return made[1:].numpy()

    return call


METHODS = {
    "single": {
        "diffrax Dopri5, jitted": single_dopri5,
        "diffrax Tsit5, jitted": single_tsit5,
        "torchdiffeq dopri5": single_torchdiffeq,
    },
    "batch": {"diffrax Dopri5, vmapped": batch_dopri5, "diffrax Tsit5, vmapped": batch_tsit5},
    "sensitivities": {
        "diffrax Dopri5, jacfwd": sensitivities,
        f"diffrax Dopri5, jacfwd, vmapped over {TOGETHER}": sensitivities_vmapped,
    },
}
