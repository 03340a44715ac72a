"""What `fit --horizon` says of the future: the population's forecast, or the log's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import input_file

if TYPE_CHECKING:
    from coopetition.curves import Curves
    from coopetition.fitting import Fit, Prediction
    from coopetition.knobs import KnobMap

map_option = click.option(
    "--map",
    "map_file",
    type=input_file,
    metavar="MAP.json",
    help="The population that forecasts start from, made by `calibrate`; by default the one that "
    "ships with the package for runs on such data.",
)


def forecast_entry(
    curves: Curves,
    result: Fit,
    prediction: Prediction,
    knob_map: KnobMap,
    *,
    seed: int,
    output: Path | None,
) -> dict[str, Any]:
    """The ``forecast`` of a fit's JSON, its bands written beside ``output``.

    Early in a run its own log allows almost any future, so where the map knows the model the
    forecast is the map's, corrected by the log: ``basis`` is then ``population``, else ``own log``.
    """
    from coopetition.errors import LogError
    from coopetition.forecasting import forecast

    note = f"the map knows {knob_map.theory}, not {result.model.name}"
    if knob_map.theory == result.model.name:
        try:
            found = forecast(curves, knob_map, horizon=prediction.horizon, seed=seed)
        except LogError as error:
            note = str(error)
        else:
            file = _written(found.to_table(), result, output)
            return {
                "basis": "population",
                **found.as_dict(file),
                "notes": list(found.warnings),
            }
    crossover = prediction.crossover
    return {
        "basis": "own log",
        "horizon": prediction.horizon,
        "verdict_probability": dict(prediction.verdict_probability),
        "crossover": None if crossover is None else dataclasses.asdict(crossover),
        "curves": _written(prediction.to_table(), result, output),
        "notes": [f"forecast from this log alone: {note}", *prediction.notes],
    }


def _written(table: Any, result: Fit, output: Path | None) -> str | None:
    from coopetition.files import write_atomically

    if output is None:
        return None
    run = "".join(c if c.isalnum() or c in "-_." else "_" for c in result.run)
    file = output.with_name(f"{output.stem}.{run}.{result.model.name}.csv")
    write_atomically(file, table.to_csv(index=False))
    return str(file)
