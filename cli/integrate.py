"""One trajectory of a toy model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    checked_figure_path,
    checked_output_path,
    finite,
    gains_options,
    input_file,
    json_option,
    numbers,
    output_file,
    parameters_option,
    save_figure,
    split_assignments,
)

if TYPE_CHECKING:
    from coopetition.dynamics.model import Model
    from coopetition.dynamics.starts import Start
    from coopetition.dynamics.trajectory import Trajectory

SAID = {
    "never": "never: ICL does not emerge",
    "transient": "transient: ICL emerges and is overtaken",
    "persistent": "persistent: ICL emerges and lasts to the horizon",
}


@click.command()
@click.argument("model")
@parameters_option("A parameter, e.g. mu1=0.03; `coopetition models` lists them. Repeatable.")
@click.option("--seed", type=click.IntRange(min=0), help="Of a random start; 0 by default.")
@click.option(
    "--start",
    type=input_file,
    metavar="FILE.npz",
    help="Arrays init_v and true_v of each vector v.",
)
@click.option("--until", type=float, default=16000.0, show_default=True, help="The horizon.")
@click.option(
    "--method",
    type=click.Choice(["auto", "dopri5", "lsoda", "radau", "descent"]),
    default="auto",
    show_default=True,
    help="auto is dopri5, and lsoda where that gives up; descent is the exact discrete map.",
)
@click.option("--step-size", type=float, help="Of descent; 1 by default.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    help="Of descent: keep every so many steps, for long horizons; 1 by default.",
)
@click.option(
    "--modified",
    type=float,
    metavar="STEP",
    help="Integrate the flow that descent of that step size follows to second order.",
)
@click.option("--stop-below", type=float, help="Stop where the total loss falls below, e.g. 1e-6.")
@click.option("--rtol", type=float, default=1e-8, show_default=True, help="Relative tolerance.")
@click.option("--atol", type=float, default=1e-10, show_default=True, help="Absolute tolerance.")
@gains_options
@json_option
@click.option("-o", "output", type=output_file, help="Losses and strengths as .csv or .parquet.")
@click.option("--plot", type=output_file, help="A picture: .png, .pdf or .svg.")
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
    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.readout import Readout
    from coopetition.dynamics.trajectory_landmarks import landmarks_of

    checked_figure_path(plot)
    checked_output_path(output, inputs=[start] if start else [])
    if method != "descent" and step_size is not None:
        raise ValueError(f"--step-size {step_size} is for --method descent; see also --modified")
    if method != "descent" and every is not None:
        raise ValueError(f"--every {every} is for --method descent, whose steps it counts")
    if modified is not None and not 0 <= modified < math.inf:
        raise ValueError(f"--modified {modified}: give a finite step size of at least 0")
    declared = get(model)
    given = numbers(split_assignments(parameters))
    begin = _start(declared, given, seed, start)
    if method == "descent":
        from coopetition.dynamics.descent import descend

        if modified is not None:
            raise ValueError(f"--modified {modified} is a flow; it does not go with descent")
        trajectory = descend(
            declared,
            parameters=given,
            start=begin,
            step_size=1.0 if step_size is None else step_size,
            until=until,
            stop_below=stop_below,
            every=every or 1,
        )
    else:
        from coopetition.dynamics.integration import integrate as integrate_model

        trajectory = integrate_model(
            declared,
            parameters=given if modified is None else {**given, "eta": modified},
            start=begin,
            until=until,
            method=method,
            form="flow" if modified is None else "modified",
            rtol=rtol,
            atol=atol,
            stop_below=stop_below,
            compiled=False,
        )
    asked: dict[str, Any] = {"stop_below": stop_below, "gain_icl": gain_icl, "gain_ciwl": gain_ciwl}
    if method == "descent":
        asked |= {"step_size": step_size or 1.0, "every": every or 1}
    else:
        asked |= {"modified": modified, "rtol": rtol, "atol": atol}
    readout = Readout(gain_icl=gain_icl, gain_ciwl=gain_ciwl)
    marks = landmarks_of(trajectory, readout) if trajectory.status.ok else None
    result = _result(trajectory, marks)
    if output is not None:
        _write(output, trajectory, asked, seed, start)
    if plot is not None:
        from coopetition.report.figures import trajectory_figure

        save_figure(trajectory_figure(trajectory, readout), plot)
    trajectory.require()
    if as_json:
        click.echo(json.dumps(finite(result), indent=2))
        return
    click.echo(trajectory.summary())
    if marks is not None:
        click.echo(f"{marks.summary(unit='of model time')}\nverdict: {SAID[result['verdict']]}")


def _start(model: Model, given: dict[str, float], seed: int | None, path: Path | None) -> Start:
    """The start asked for, drawn in the dimensions asked for."""
    import dataclasses

    from coopetition.dynamics.starts import random_start, read_start
    from coopetition.seeds import stream

    if path is not None:
        if seed is not None:
            raise ValueError(f"--seed {seed} and --start {path} exclude each other; give one")
        return read_start(path, model)
    sizes = dict(model.dimensions)
    for vector in sizes:
        size = given.get(f"n_{vector}", sizes[vector])
        if size != int(size) or size < 1:
            raise ValueError(
                f"-p n_{vector}={size:g}: a random start needs a whole dimension of at least 1"
            )
        sizes[vector] = int(size)
    sized = dataclasses.replace(model, dimensions=sizes)
    seed = seed or 0
    return random_start(sized, stream(seed, "start"), description=f"random, seed {seed}")


def _result(trajectory: Trajectory, marks: Any) -> dict[str, Any]:
    """What `--json` says."""
    names = ("total", *trajectory.strategies, "cost")
    landmarks = None
    verdict = None
    if marks is not None:
        from coopetition.curves.landmarks import NAMES
        from coopetition.curves.verdicts import verdict_of

        landmarks = {name: (m := getattr(marks, name)) and m.value for name in NAMES}
        verdict = verdict_of(marks)
    return {
        "model": trajectory.model,
        "parameters": dict(trajectory.parameters),
        "method": trajectory.method,
        "outcome": trajectory.status.name.lower(),
        "stopped_at": trajectory.stopped_at,
        "final": {name: float(trajectory.outputs[name][-1]) for name in names},
        "final_strengths": {
            name: float(trajectory.outputs[f"{name}_strength"][-1])
            for name in trajectory.strategies
        },
        "landmarks": landmarks,
        "verdict": verdict,
        "horizon": float(trajectory.times[-1]),
        "steps": trajectory.steps,
        "notes": list(trajectory.notes),
    }


def _write(
    path: Path,
    trajectory: Trajectory,
    asked: dict[str, Any],
    seed: int | None,
    start: Path | None,
) -> None:
    """Losses without floors and strengths against time, and what was asked for."""
    from coopetition.files import provenance, write_table

    names = ["total", *trajectory.strategies, "cost"]
    names += [f"{name}_strength" for name in trajectory.strategies]
    about = provenance(
        "integrate",
        {
            "model": trajectory.model,
            "parameters": dict(trajectory.parameters),
            "method": trajectory.method,
            "horizon": trajectory.horizon,
            **asked,
            "outcome": trajectory.status.name.lower(),
            "stopped_at": trajectory.stopped_at,
        },
        seed=None if start else seed or 0,
        inputs=[start] if start else [],
    )
    columns = {name: trajectory.outputs[name] for name in names}
    write_table(path, {"time": trajectory.times, **columns}, about)
