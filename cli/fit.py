"""Fitting toy models to training logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .curves_options import log_options, read_logs
from .fit_entry import fit_entry, posterior_entry, profiles_entry, tell
from .forecast_entry import forecast_entry, map_option, population_forecast
from .options import (
    checked_figure_path,
    checked_output,
    count_option,
    json_option,
    numbers,
    output_file,
    quiet_option,
    save_figure,
    seed_option,
    split_assignments,
)

if TYPE_CHECKING:
    from coopetition.curves.curve import Curves
    from coopetition.dynamics.model import Model
    from coopetition.fitting import Fit, FitSettings, Prediction
    from coopetition.forecasting import Forecast
    from coopetition.logs import Columns


@click.command()
@log_options
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("coopetition",),
    show_default=True,
    metavar="NAME",
    help="A model of the catalogue. Repeatable: they are compared.",
)
@click.option("--until", type=float, metavar="SEQ", help="Fit the log up to here only.")
@click.option(
    "--horizon",
    type=float,
    metavar="SEQ",
    help="Forecast to here, past what is fitted: bands, and the odds of each verdict.",
)
@map_option
@click.option("-p", "fixed", multiple=True, metavar="name=value", help="Hold a parameter.")
@count_option("--starts", "Starts polished to an optimum, the best of those screened.", default=32)
@click.option("--separate-flip", is_flag=True, help="Give flip gains of its own.")
@click.option("--losses", is_flag=True, help="Fit loss curves along with the accuracies.")
@click.option(
    "--profile",
    "with_profiles",
    is_flag=True,
    help="Intervals from profile likelihoods, with a verdict on each parameter.",
)
@click.option(
    "--posterior",
    "posterior_steps",
    type=click.IntRange(min=10),
    metavar="STEPS",
    help="Sample the posterior so many steps with emcee (pip install 'coopetition[posterior]').",
)
@seed_option("Seed of starts and draws.")
@json_option
@click.option("-o", "output", type=output_file, metavar="FIT.json", help="Keep the fits.")
@click.option(
    "--plot",
    type=output_file,
    help="A picture of a run's best fit: .png, .pdf or .svg; of several runs one each, with the "
    "run's name in the file's.",
)
@quiet_option
def fit(
    logs: tuple[str, ...],
    columns: Columns | None,
    run: str | None,
    models: tuple[str, ...],
    until: float | None,
    horizon: float | None,
    map_file: Path | None,
    fixed: tuple[str, ...],
    starts: int,
    separate_flip: bool,
    losses: bool,
    with_profiles: bool,
    posterior_steps: int | None,
    seed: int,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
    quiet: bool,
) -> None:
    """Fit MODELs to the runs in LOGs and say what the data determine.

    Intervals hold 95 % for parameters (profiles and posteriors too), 90 % for forecasts.

    \b
    coopetition fit published:main
    coopetition fit log.csv --columns flip=eval_flip,icl=eval_icl --model coopetition
        --model independent -o FIT.json --plot fit.png
    coopetition fit published:main --until 5e6 --horizon 2e7 --json
    """
    from coopetition.curves.runs import each_once
    from coopetition.dynamics.catalogue import get
    from coopetition.fitting import FitSettings, predict, write_fits
    from coopetition.fitting import fit as fit_curves
    from coopetition.forecasting.settings_map import load_map, map_for

    checked_figure_path(plot)
    checked_output(
        output, suffixes=(".json",), inputs=logs if map_file is None else [*logs, map_file]
    )
    _require_positive(until=until, horizon=horizon)
    if map_file is not None and horizon is None:
        raise ValueError(f"--map {map_file} is what forecasts start from: give --horizon too")
    settings = FitSettings(
        starts=starts,
        screened=max(4096, 1 << (starts - 1).bit_length()),
        separate_flip=separate_flip,
        losses=losses,
        seed=seed,
    )
    held = numbers(split_assignments(fixed))
    declared = [get(name) for name in dict.fromkeys(models)]
    given = None if map_file is None else load_map(map_file)
    fits: list[Fit] = []
    entries: list[dict[str, Any]] = []
    predictions: list[Prediction | None] = []
    forecasts: list[Forecast | None] = []
    runs = each_once(read_logs(logs, columns, run))
    parts = [curves if until is None else curves.until(until) for curves in runs]
    _require_fit_for(parts, declared, settings)
    names = file_names(curves.run for curves in runs)
    try:
        for curves, part, file_name in zip(runs, parts, names, strict=True):
            for model in declared:
                beside = output and output.with_name(f"{output.stem}.{file_name}.{model.name}")
                result = fit_curves(part, model, fixed=held, settings=settings, progress=not quiet)
                entry = fit_entry(result)
                fits.append(result)
                entries.append(entry)
                predictions.append(None)
                forecasts.append(None)
                if with_profiles:
                    entry["profiles"] = profiles_entry(result)
                prediction = None if horizon is None else predict(result, horizon, seed=seed)
                predictions[-1] = prediction
                if posterior_steps is not None:
                    entry["posterior"] = posterior_entry(
                        result, posterior_steps, seed=seed, beside=beside, progress=not quiet
                    )
                if prediction is not None:
                    settings_map = given or map_for(curves.settings)
                    population = population_forecast(
                        part, result, prediction.horizon, settings_map, seed=seed
                    )
                    entry["forecast"] = forecast_entry(prediction, population, beside=beside)
                    forecasts[-1] = None if isinstance(population, str) else population
    finally:  # what was found is told and kept, whatever came after it
        if fits:
            asked = {"until": until, "horizon": horizon, "fixed": held, "models": list(models)}
            try:
                tell(fits, entries, len(declared), as_json)
            finally:
                if output is not None:
                    write_fits(output, fits, settings=asked, entries=entries)
                if plot is not None:
                    _draw(plot, names, len(declared), fits, predictions, forecasts)


def _draw(
    path: Path,
    names: list[str],
    models: int,
    fits: list[Fit],
    predictions: Sequence[Prediction | None],
    forecasts: Sequence[Forecast | None],
) -> None:
    """The best of the models' fits of each run, in a file of its own where there are several."""
    from coopetition.report.figures import fit_figure

    for name, first in zip(names, range(0, len(fits), models), strict=False):
        own = range(first, min(first + models, len(fits)))
        best = min(own, key=lambda i: (fits[i].aicc, fits[i].bic))
        place = path
        if len(names) > 1:
            place = path.with_name(f"{path.stem}.{name}{path.suffix}")
            click.echo(f"picture of {fits[best].run}: {place}", err=True)
        save_figure(fit_figure(fits[best], predictions[best], forecasts[best]), place)


def file_names(runs: Iterable[str]) -> list[str]:
    """Runs' names as parts of files' names, numbered where they would be equal."""
    from coopetition.curves.runs import numbered

    plain = ("".join(c if c.isalnum() or c in "-_." else "_" for c in run) for run in runs)
    return list(numbered(plain, "-{}"))


def _require_positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"--{name} must be a positive number of sequences, not {value}")


def _require_fit_for(
    parts: Iterable[Curves], models: Iterable[Model], settings: FitSettings
) -> None:
    """Refuse logs that cannot be fitted before any is."""
    from coopetition.fitting.measurements import measurements

    every = list(models)
    for part in parts:
        for model in every:
            measurements(part, model.strategy_names, settings)
