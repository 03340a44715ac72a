"""The forecast of `fit --horizon`: by a map of other runs, or from the log alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import input_file

if TYPE_CHECKING:
    from coopetition.curves.curve import Curves
    from coopetition.fitting import Fit, Prediction
    from coopetition.forecasting import Forecast
    from coopetition.forecasting.settings_map import SettingsMap

map_option = click.option(
    "--map",
    "map_file",
    type=input_file,
    metavar="MAP.json",
    help="A map of other runs that forecasts start from, made by `calibrate`; by default the one "
    "that ships with the package for runs on such data.",
)


def population_forecast(
    curves: Curves, result: Fit, horizon: float, settings_map: SettingsMap, *, seed: int
) -> Forecast | str:
    """The map's forecast given the log, or the reason why there is none.

    It is preferred to that of the log alone, which early in a run allows almost any continuation.
    """
    from coopetition.errors import LogError
    from coopetition.forecasting import forecast

    if settings_map.theory != result.model.name:
        return f"the map is of {settings_map.theory}, not {result.model.name}"
    try:
        return forecast(curves, settings_map, horizon=horizon, seed=seed)
    except LogError as error:
        return str(error)


def forecast_entry(
    prediction: Prediction, population: Forecast | str, *, beside: Path | None
) -> dict[str, Any]:
    """The ``forecast`` of a fit's JSON; its bands are written to ``beside`` with ``.csv`` added.

    ``basis`` is ``population`` for a forecast from other runs, else ``own log``.
    """
    from coopetition.fitting.prediction import LEVEL

    if not isinstance(population, str):
        file = _write(population.to_table(), beside)
        return {
            "basis": "population",
            **population.as_dict(file),
            "notes": list(population.warnings),
        }
    crossover = prediction.crossover
    return {
        "basis": "own log",
        "horizon": prediction.horizon,
        "level": LEVEL,
        "verdict_probability": dict(prediction.verdict_probability),
        "crossover": crossover
        and {name: getattr(crossover, name) for name in ("median", "lower", "upper")},
        "curves": _write(prediction.to_table(), beside),
        "notes": [f"forecast from this log alone: {population}", *prediction.notes],
    }


def _write(table: Any, beside: Path | None) -> str | None:
    """Write a table beside the fit; returns its path."""
    from coopetition.files import write_atomically

    if beside is None:
        return None
    return str(write_atomically(f"{beside}.csv", table.to_csv(index=False)))
