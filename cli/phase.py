"""The command `phase`: phase diagrams of a toy model."""

from __future__ import annotations

from pathlib import Path

import click

from .options import (
    checked_figure_path,
    checked_output_path,
    count_option,
    gains_options,
    horizon_option,
    output_file,
    parameters_option,
    plot_option,
    save_figure,
    seed_option,
    split_assignments,
)


@click.command()
@click.argument("model")
@parameters_option(
    "A range alpha=log:1e-3:1:64 or mu1=lin:0:1:11, values mu1=0.03,0.1, or one fixed number. "
    "Repeatable."
)
@count_option("--starts", "Random starts at each point.", default=8)
@horizon_option
@seed_option("Seed of the random starts.")
@gains_options
@click.option("-o", "output", type=output_file, help="Save the diagram as .csv or .parquet.")
@plot_option
def phase(
    model: str,
    parameters: tuple[str, ...],
    starts: int,
    until: float,
    seed: int,
    gain_icl: float,
    gain_ciwl: float,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Map where in MODEL's parameters ICL is persistent, transient or never emerges.

    \b
    coopetition phase coopetition -p alpha=log:1e-3:1:64 -p mu1=log:1e-3:1:64 --plot phase.png
    """
    from tqdm import tqdm

    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.phase import parse_axis
    from coopetition.dynamics.phase import phase as map_phase
    from coopetition.dynamics.readout import Readout

    checked_figure_path(plot)
    checked_output_path(output)
    values = {}
    for name, text in split_assignments(parameters).items():
        try:
            values[name] = parse_axis(text)
        except ValueError as error:
            raise ValueError(f"-p {name}: {error}") from error
    axes = {name: array for name, array in values.items() if len(array) > 1}
    fixed = {name: float(array[0]) for name, array in values.items() if len(array) == 1}
    if plot is not None and len(axes) > 2:
        raise ValueError(f"--plot {plot} draws one or two axes, not {len(axes)}; fix some")
    with tqdm(unit=" trajectories", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = map_phase(
            get(model),
            axes,
            fixed=fixed,
            starts=starts,
            until=until,
            readout=Readout(gain_icl=gain_icl, gain_ciwl=gain_ciwl),
            seed=seed,
            progress=progress,
        )
    if output is not None:
        from coopetition.files import provenance, write_table

        settings = {"model": model, "parameters": list(parameters), "starts": starts}
        gains = {"until": until, "gain_icl": gain_icl, "gain_ciwl": gain_ciwl}
        write_table(output, result.columns(), provenance("phase", {**settings, **gains}, seed=seed))
    if plot is not None:
        from coopetition.report.figures import phase_figure

        save_figure(phase_figure(result), plot)
    click.echo(result.summary())
