"""The commands `models` and `equations`: the toy models and their equations."""

from __future__ import annotations

import click


@click.command()
def models() -> None:
    """List the toy models that come with the package."""
    from coopetition.dynamics.catalogue import CATALOGUE

    width = max(len(name) for name in CATALOGUE)
    for name, model in CATALOGUE.items():
        defaults = ", ".join(f"{p} = {v:g}" for p, v in model.parameters.items()) or "none"
        sizes = ", ".join(f"{v}: {n}" for v, n in model.dimensions.items())
        click.echo(f"{name:<{width}}  {model.description}")
        click.echo(f"{'':<{width}}  strategies {', '.join(model.strategy_names)}; vectors {sizes}")
        click.echo(f"{'':<{width}}  parameters {defaults}; {model.reference}")


@click.command()
@click.argument("model")
@click.option(
    "--form",
    type=click.Choice(["loss", "ode", "jacobian", "conserved"]),
    help="Print only this; all four by default.",
)
@click.option("--latex", is_flag=True, help="Print LaTeX.")
def equations(model: str, form: str | None, latex: bool) -> None:
    """Print MODEL's loss, reduced ODE, Jacobian and conserved quantities.

    All are derived from the model's declaration. x_v is the overlap of vector v with its target,
    y_v the length of the rest, n_v the dimension and S_v the target's squared norm over n_v.
    """
    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.equations import equations_of

    click.echo(equations_of(get(model), form=form, latex=latex))
