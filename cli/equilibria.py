"""The equilibria of a toy model and their stability."""

from __future__ import annotations

import click

from .options import (
    count_option,
    echo_json,
    gains_options,
    json_option,
    numbers,
    parameters_option,
    split_assignments,
)


@click.command()
@click.argument("model")
@parameters_option("A parameter, e.g. mu1=0.03; `coopetition models` lists them. Repeatable.")
@count_option("--starts", "States from which Newton's method is started.", default=512)
@gains_options
@json_option
def equilibria(
    model: str,
    parameters: tuple[str, ...],
    starts: int,
    gain_icl: float,
    gain_ciwl: float,
    as_json: bool,
) -> None:
    """Where MODEL rests, and whether it stays there.

    A state at which nothing changes is an equilibrium. Near it deviations grow or shrink as exp(λt)
    with the eigenvalues λ of the Jacobian: all shrink at a stable node, a saddle of index k is left
    in k directions, at the rate of the largest eigenvalue. Zero eigenvalues leave the linear part
    undecided (degenerate), unless they belong to a continuum of equilibria; of each continuum one
    state is listed, with its dimension. The verdict is of a run that comes to rest there.

    \b
    coopetition equilibria coopetition                # CIWL alone is stable
    coopetition equilibria coopetition -p mu1=0       # so is ICL where exemplars match
    coopetition equilibria decay -p decay_d=1e-3 --json

    --json prints model, parameters, equilibria (state, residual, eigenvalues as [re, im], type,
    index, dimension, loss, strengths, verdict, closed_form), and manifolds: the continua, each with
    its dimension, its state and its place in equilibria.
    """
    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.equilibria import equilibria as search
    from coopetition.dynamics.readout import Readout

    result = search(
        get(model),
        numbers(split_assignments(parameters)),
        starts=starts,
        readout=Readout(gain_icl=gain_icl, gain_ciwl=gain_ciwl),
    )
    if as_json:
        echo_json(result.as_dict(), indent=2)
    else:
        click.echo(result.summary())
