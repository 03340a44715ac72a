"""Fitting toy models to training logs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .curves_options import log_options, read_logs
from .forecast_entry import forecast_entry, map_option, population_forecast
from .options import (
    checked_figure_path,
    finite,
    json_option,
    numbers,
    output_file,
    save_figure,
    split_assignments,
)
from .posterior_entry import posterior_entry

if TYPE_CHECKING:
    from coopetition.fitting import Fit, Prediction
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
    help="Forecast to here: bands, and the odds of each verdict.",
)
@map_option
@click.option("-p", "fixed", multiple=True, metavar="name=value", help="Hold a parameter.")
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Starts polished to an optimum, the best of those screened.",
)
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
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of starts and draws."
)
@json_option
@click.option("-o", "output", type=output_file, metavar="FIT.json", help="Keep the fits.")
@click.option("--plot", type=output_file, help="A picture of the best fit: .png, .pdf or .svg.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
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

    \b
    coopetition fit published:main
    coopetition fit log.csv --columns flip=eval_flip,icl=eval_icl --model coopetition
        --model independent -o FIT.json --plot fit.png
    coopetition fit published:main --until 5e6 --horizon 2e7 --json
    """
    from coopetition.fitting import FitSettings, write_fits
    from coopetition.fitting import fit as fit_curves
    from coopetition.knobs import load_map, map_for
    from coopetition.models import get

    checked_figure_path(plot)
    _require_positive(until=until, horizon=horizon)
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
    fits, entries, predictions, forecasts = [], [], [], []
    runs = read_logs(logs, columns, run)
    for curves, file_name in zip(runs, file_names(curves.run for curves in runs), strict=True):
        part = curves if until is None else curves.until(until)
        for model in declared:
            beside = output and output.with_name(f"{output.stem}.{file_name}.{model.name}")
            result = fit_curves(part, model, fixed=held, settings=settings, progress=not quiet)
            prediction = _prediction(result, horizon, seed)
            fits.append(result)
            predictions.append(prediction)
            entry = _entry(result, with_profiles)
            if posterior_steps is not None:
                entry["posterior"] = posterior_entry(
                    result, posterior_steps, seed=seed, beside=beside, progress=not quiet
                )
            population: Forecast | str | None = None
            if prediction is not None:
                knob_map = given or map_for(curves.settings)
                population = population_forecast(
                    part, result, prediction.horizon, knob_map, seed=seed
                )
                entry["forecast"] = forecast_entry(prediction, population, beside=beside)
            forecasts.append(None if isinstance(population, str) else population)
            entries.append(entry)
    if output is not None:
        asked = {"until": until, "horizon": horizon, "fixed": held, "models": list(models)}
        write_fits(output, fits, settings=asked, entries=entries)
    if plot is not None:
        from coopetition.plot import fit_figure

        best = min(range(len(fits)), key=lambda i: (fits[i].aicc, fits[i].bic))
        save_figure(fit_figure(fits[best], predictions[best], forecasts[best]), plot)
    if as_json:
        click.echo(
            json.dumps(finite([{**_json(f), **e} for f, e in zip(fits, entries, strict=True)]))
        )
        return
    for result, entry in zip(fits, entries, strict=True):
        click.echo(result.summary())
        click.echo(_said(entry))
    _compare(fits, len(declared))


def file_names(runs: Iterable[str]) -> list[str]:
    """Runs' names as parts of files' names, numbered where they would be equal."""
    found: list[str] = []
    for run in runs:
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in run)
        numbered = (plain, *(f"{plain}-{n}" for n in range(2, len(found) + 2)))
        found.append(next(name for name in numbered if name not in found))
    return found


def _require_positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"--{name} must be a positive number of sequences, not {value}")


def _prediction(result: Fit, horizon: float | None, seed: int) -> Prediction | None:
    from coopetition.fitting import predict

    return None if horizon is None else predict(result, horizon, seed=seed)


def _json(result: Fit) -> dict[str, Any]:
    """The keys that `--json` promises of every fit."""
    from coopetition.fitting.storage import fit_to_json

    whole = fit_to_json(result)
    kept = (
        "run",
        "model",
        "parameters",
        "rmse",
        "aicc",
        "bic",
        "starts",
        "null_directions",
        "warnings",
        "provenance",
    )
    return {key: whole[key] for key in kept}


def _entry(result: Fit, with_profiles: bool) -> dict[str, Any]:
    """Landmarks, verdict and, where asked for, profiles."""
    from coopetition.fitting import profile
    from coopetition.landmarks import NAMES, landmarks, verdict

    predicted = result.predict()
    has_flip = ("flip", "in_context_acc") in predicted.curves
    marks = landmarks(predicted, exact=True).as_dict()
    entry: dict[str, Any] = {
        "landmarks": {name: marks[name] for name in NAMES} if has_flip else None,
        "verdict": verdict(predicted, exact=True) if has_flip else None,
        "horizon": predicted.last_sequence,
    }
    if with_profiles:
        profiles = {name: profile(result, name) for name in result.free}
        entry["profiles"] = {
            name: {"value": p.best, "lower": p.lower, "upper": p.upper, "verdict": p.verdict}
            for name, p in profiles.items()
        }
    return entry


def _said(entry: dict[str, Any]) -> str:
    """Landmarks, verdict and forecast as text."""
    lines = []
    marks = entry["landmarks"]
    if marks is not None:
        names = ("emergence", "peak", "crossover", "vanishing")
        times = (f"{n} {'none' if marks[n] is None else format(marks[n], ',.0f')}" for n in names)
        lines.append(
            f"fitted curves: {', '.join(times)}; ICL is {entry['verdict']} at "
            f"{entry['horizon']:,.0f} sequences"
        )
    for name, p in entry.get("profiles", {}).items():
        ends = ["open" if end is None else f"{end:.4g}" for end in (p["lower"], p["upper"])]
        lines.append(
            f"  profile of {name}: {p['value']:.4g} [{ends[0]}, {ends[1]}], {p['verdict']}"
        )
    for name, q in entry.get("posterior", {}).get("parameters", {}).items():
        lines.append(
            f"  posterior of {name}: {q['median']:.4g} [{q['lower']:.4g}, {q['upper']:.4g}]"
        )
    lines += [f"  note: {note}" for note in entry.get("posterior", {}).get("notes", ())]
    if "forecast" in entry:
        from coopetition.forecasting.result import WORTH_TELLING

        forecast = entry["forecast"]
        odds = ", ".join(f"{n} {p:.2f}" for n, p in forecast["verdict_probability"].items())
        basis = forecast["basis"]
        lines.append(f"forecast from the {basis} at {forecast['horizon']:,.0f} sequences: {odds}")
        alone = forecast.get("theory_probability", forecast["verdict_probability"])
        moved = (abs(alone[n] - p) for n, p in forecast["verdict_probability"].items())
        if max(moved) >= WORTH_TELLING:
            said = ", ".join(f"{n} {p:.2f}" for n, p in alone.items())
            lines.append(f"  by the theory alone, not put right by the map's runs: {said}")
        if forecast["crossover"] is not None:
            whens = (forecast["crossover"][name] for name in ("median", "lower", "upper"))
            mid, low, high = ("beyond" if when is None else f"{when:,.0f}" for when in whens)
            lines.append(f"  crossover {mid} [{low}, {high}]")
        lines += [f"  note: {note}" for note in forecast["notes"]]
    return "\n".join(lines)


def _compare(fits: list[Fit], models: int) -> None:
    """One table a run, where several models were fitted."""
    from coopetition.fitting import rank

    for first in range(0, len(fits), models):
        own = fits[first : first + models]
        if len(own) < 2:
            continue
        try:
            click.echo(rank(own).summary())
        except ValueError as error:
            click.echo(f"not compared: {error}")
