"""The command `integrate`: one trajectory of a toy model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    checked_figure_path,
    checked_output_path,
    count_option,
    echo_json,
    gains_options,
    horizon_option,
    input_file,
    json_option,
    numbers,
    output_file,
    parameters_option,
    plot_option,
    save_figure,
    split_assignments,
)

if TYPE_CHECKING:
    from coopetition.dynamics.model import Model
    from coopetition.dynamics.starts import Start
    from coopetition.dynamics.trajectory import Trajectory

MEANINGS = {
    "never": "never: ICL does not emerge",
    "transient": "transient: ICL emerges and is overtaken",
    "persistent": "persistent: ICL emerges and lasts to the horizon",
}


@click.command()
@click.argument("model")
@parameters_option("A parameter, e.g. mu1=0.03; `coopetition models` lists them. Repeatable.")
@count_option("--seed", "Seed of the random start; 0 by default.", least=0)
@click.option(
    "--start",
    type=input_file,
    metavar="FILE.npz",
    help="Arrays init_v and true_v for each vector v.",
)
@horizon_option
@click.option(
    "--method",
    type=click.Choice(["auto", "dopri5", "lsoda", "radau", "descent"]),
    default="auto",
    show_default=True,
    help="auto is dopri5, or lsoda where that fails; descent is the exact discrete map.",
)
@click.option("--step-size", type=float, help="Step size of descent; 1 by default.")
@count_option("--every", "Keep one of so many steps of descent, for long horizons; 1 by default.")
@click.option(
    "--modified",
    type=float,
    metavar="STEP",
    help="Integrate the flow that descent with this step size follows to second order.",
)
@click.option("--stop-below", type=float, help="Stop where the total loss falls below, e.g. 1e-6.")
@click.option("--rtol", type=float, default=1e-8, show_default=True, help="Relative tolerance.")
@click.option("--atol", type=float, default=1e-10, show_default=True, help="Absolute tolerance.")
@gains_options
@json_option
@click.option(
    "-o", "output", type=output_file, help="Save losses and strengths as .csv or .parquet."
)
@plot_option
def integrate(
    model: str,
    parameters: tuple[str, ...],
    seed: int | None,
    start: Path | None,
    until: float,
    method: str,
    step_size: float | None,
    every: int | None,
    modified: float | None,
    stop_below: float | None,
    rtol: float,
    atol: float,
    gain_icl: float,
    gain_ciwl: float,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Integrate MODEL and say when ICL emerges, peaks, is overtaken and vanishes.

    \b
    coopetition integrate coopetition
    coopetition integrate coopetition -p mu1=0 --until 64000 --plot persists.png
    coopetition integrate coopetition --method descent --stop-below 1e-6 --json
    """
    from coopetition.curves.landmarks import NAMES
    from coopetition.curves.verdicts import verdict_of
    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.events import landmarks_of
    from coopetition.dynamics.readout import Readout

    checked_figure_path(plot)
    checked_output_path(output, inputs=[start] if start else [])
    require_consistent(method, step_size=step_size, every=every, modified=modified)
    declared, values = get(model), numbers(split_assignments(parameters))
    begin = start_of(declared, values, seed, start)
    tuning: dict[str, Any]
    if method == "descent":
        tuning = {"step_size": 1.0 if step_size is None else step_size, "every": every or 1}
    else:
        tuning = {"modified": modified, "rtol": rtol, "atol": atol}
    trajectory = trajectory_of(
        declared, values, begin, method=method, until=until, stop_below=stop_below, **tuning
    )
    readout = Readout(gain_icl=gain_icl, gain_ciwl=gain_ciwl)
    if output is not None:
        gains = {"gain_icl": gain_icl, "gain_ciwl": gain_ciwl}
        options = {"stop_below": stop_below, **gains, **tuning}
        write(trajectory, output, options, None if start else seed or 0, start)
    if plot is not None:
        from coopetition.report.figures import trajectory_figure

        save_figure(trajectory_figure(trajectory, readout), plot)
    trajectory.require()
    marks = landmarks_of(trajectory, readout)
    verdict = None if marks is None else verdict_of(marks)
    if as_json:
        landmarks = marks and {name: marks.as_dict()[name] for name in NAMES}
        plain = {**trajectory.as_dict(), "landmarks": landmarks, "verdict": verdict}
        echo_json(plain, indent=2)
        return
    click.echo(trajectory.summary())
    if marks is not None and verdict is not None:
        click.echo(f"{marks.summary(unit='of model time')}\nverdict: {MEANINGS[verdict]}")


def require_consistent(
    method: str, *, step_size: float | None, every: int | None, modified: float | None
) -> None:
    """Refuse options of one method given for another."""
    if method != "descent" and step_size is not None:
        raise ValueError(f"--step-size {step_size} is for --method descent; see also --modified")
    if method != "descent" and every is not None:
        raise ValueError(f"--every {every} is for --method descent, whose steps it counts")
    if modified is not None and not 0 <= modified < math.inf:
        raise ValueError(f"--modified {modified}: give a finite step size of at least 0")
    if method == "descent" and modified is not None:
        raise ValueError(
            f"--modified {modified} integrates a flow: leave it out, or --method descent"
        )


def start_of(model: Model, values: dict[str, float], seed: int | None, path: Path | None) -> Start:
    """The start in a file, or the random one of a seed."""
    from coopetition.dynamics.starts import read_start, seeded_start

    if path is None:
        return seeded_start(model, seed or 0, values)
    if seed is not None:
        raise ValueError(f"--seed {seed} and --start {path} exclude each other; give one")
    return read_start(path, model)


def trajectory_of(
    model: Model,
    values: dict[str, float],
    start: Start,
    *,
    method: str,
    modified: float | None = None,
    **options: Any,
) -> Trajectory:
    """The trajectory by descent, or of the flow or modified flow."""
    if method == "descent":
        from coopetition.dynamics.descent import descend

        return descend(model, parameters=values, start=start, **options)
    from coopetition.dynamics.integration import integrate as integrate_flow

    return integrate_flow(
        model,
        parameters=values if modified is None else {**values, "eta": modified},
        start=start,
        method=method,
        form="flow" if modified is None else "modified",
        compiled=False,
        **options,
    )


def write(
    trajectory: Trajectory,
    path: Path,
    options: dict[str, Any],
    seed: int | None,
    start: Path | None,
) -> None:
    """Write losses without floors and strengths against time, with the settings used."""
    from coopetition.files import provenance, write_table

    plain = trajectory.as_dict()
    names = ("model", "parameters", "method", "outcome", "stopped_at")
    settings = {name: plain[name] for name in names}
    settings |= {"horizon": trajectory.horizon, **options}
    about = provenance("integrate", settings, seed=seed, inputs=[start] if start else [])
    write_table(path, trajectory.columns(), about)
