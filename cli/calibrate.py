"""The command `calibrate`: a map from settings to parameters, learned from runs of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .curves_options import log_options, read_logs
from .options import checked_output, output_file, quiet_option, seed_option

if TYPE_CHECKING:
    from coopetition.logs import Columns

ALL_PUBLISHED, ALL_SMALL = "published:*", "cpu:*"


@click.command()
@log_options
@click.option(
    "--model",
    default="coopetition",
    show_default=True,
    metavar="NAME",
    help="A model of the catalogue with ICL and CIWL.",
)
@click.option(
    "--until",
    type=float,
    metavar="SEQ",
    help="Use only this much of each log, counted at learning rate 1e-5 and batch 32 and scaled by "
    "batch size / learning rate for other runs.",
)
@seed_option("Seed of the fits' starts.")
@click.option(
    "-o",
    "output",
    type=output_file,
    required=True,
    metavar="MAP.json",
    help="The file for the map.",
)
@quiet_option
def calibrate(
    logs: tuple[str, ...],
    columns: Columns | None,
    run: str | None,
    model: str,
    until: float | None,
    seed: int,
    output: Path,
    quiet: bool,
) -> None:
    """Learn from the runs in LOGs how settings move a model's parameters.

    Each log counts once. Runs with the same name, such as those of one preset, are told apart by
    numbers.

    \b
    coopetition calibrate 'published:*' --until 4e7 -o map.json
    coopetition calibrate 'cpu:*' runs/* -o map.json
    """
    from coopetition.forecasting.settings_map import calibrate as calibrate_on
    from coopetition.forecasting.settings_map import save_map

    checked_output(output, suffixes=(".json",), inputs=logs)
    if until is not None and not 0 < until < float("inf"):
        raise ValueError(f"--until must be a positive number of sequences, not {until}")
    runs = read_logs(expanded(logs), columns, run)
    settings_map = calibrate_on(runs, theory=model, until=until, seed=seed, progress=not quiet)
    save_map(settings_map, output)
    repeated = len(runs) - len(settings_map.runs) - len(settings_map.excluded)
    if repeated:
        click.echo(
            f"{repeated} of the runs have the same log as another and are not counted again",
            err=True,
        )
    for warning in settings_map.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(settings_map.summary())


def expanded(logs: tuple[str, ...]) -> list[str]:
    """The logs with ``published:*`` and ``cpu:*`` spelt out."""
    from coopetition.logs import published_runs, small_runs

    every = {
        ALL_PUBLISHED: [f"published:{name}" for name in published_runs()],
        ALL_SMALL: [f"cpu:{name}" for name in small_runs()],
    }
    return [run for log in logs for run in every.get(log, [log])]
