"""Fits in a report, and the forecasts that were made with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dynamics.readout import ACCURACY
from ..errors import LogError
from ..files import sha256_of
from .section import Section, Table, in_words, interval, picture

if TYPE_CHECKING:
    import pandas as pd

    from ..fitting import Fit

LEVEL = 0.9  # of intervals and bands of a log's own forecast, which does not say it
BASES = {"population": "other runs", "own log": "this log alone"}


def holds_fits(path: str) -> bool:
    """Whether it is a file that `fit -o` wrote.

    Raises
    ------
    LogError
        If it is named as one and is no JSON.
    """
    if not path.endswith(".json") or not Path(path).is_file():
        return False
    content = _content(path)
    return isinstance(content, dict) and "fits" in content


def of_fits(path: str) -> list[Section]:
    """Every fit in the file, each followed by its forecast if it has one."""
    from ..fitting import read_fits

    fits, entries = read_fits(path), _content(path)["fits"]
    source = {"path": path, "sha256": sha256_of(path)}
    sections = []
    for fit, entry in zip(fits, entries, strict=True):
        sections.append(_of_fit(fit, source))
        if entry.get("forecast") is not None:
            sections.append(_of_forecast(fit, entry["forecast"], source))
    return sections


def _content(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LogError(f"cannot read {path}: {error}") from error


def _of_fit(fit: Fit, source: Mapping[str, Any]) -> Section:
    """A fit: model over data, parameters with intervals, residuals, warnings."""
    from ..fitting.information import CONFIDENCE
    from .figures import fit_figure

    rows = []
    for p in fit.parameters:
        ends = "" if p.lower is p.upper is None else interval(p.lower, p.upper, "{:.4g}", "")
        rows.append((p.name, f"{p.value:.4g}", ends, p.status))
    header = ("parameter", "value", f"{CONFIDENCE:.0%} interval", "status")
    errors = tuple((name, f"{value:.4f}") for name, value in fit.rmse.items())
    return Section(
        title=f"{fit.model.name} fitted to {fit.run}",
        lead=(
            f"{fit.hits} of {len(fit.starts)} starts found the optimum; AICc {fit.aicc:.1f}, "
            f"BIC {fit.bic:.1f} over {fit.effective:.0f} effective points of {fit.count}"
        ),
        figures=((picture(fit_figure(fit)), "the fitted curves over the data, and residuals"),),
        tables=(
            ("parameters", header, tuple(rows)),
            ("root-mean-square errors", ("evaluator", "error"), errors),
        ),
        notes=fit.warnings,
        sources=(source,),
    )


def _of_forecast(fit: Fit, forecast: Mapping[str, Any], source: Mapping[str, Any]) -> Section:
    """What was expected of the run: odds of the verdicts, when it crosses over, bands."""
    chances = forecast["verdict_probability"]
    said = in_words(chances) or "no verdict without flip"
    level = forecast.get("level", LEVEL)
    bands = (
        None
        if forecast["curves"] is None
        else Path(source["path"]).parent.joinpath(Path(forecast["curves"]).name)
    )
    figures, sources, notes = [], [source], list(forecast["notes"])
    if bands is not None and bands.is_file():
        figures.append((_bands(fit, bands), f"{level:.0%} bands; grey: measured before"))
        sources.append({"path": str(bands), "sha256": sha256_of(bands)})
    else:
        notes.append(f"no picture: the predicted curves are not beside the fit ({bands})")
    return Section(
        title=f"Forecast of {fit.run} by {fit.model.name}",
        lead=f"at {forecast['horizon']:,.0f} sequences, from {BASES[forecast['basis']]}: {said}",
        figures=tuple(figures),
        tables=tuple(_forecast_tables(forecast, level)),
        notes=tuple(notes),
        sources=tuple(sources),
    )


def _forecast_tables(forecast: Mapping[str, Any], level: float) -> list[Table]:
    chances = forecast["verdict_probability"]
    alone = forecast.get("theory_probability")
    header: tuple[str, ...] = ("verdict", "probability")
    rows = [(name, f"{share:.2f}") for name, share in chances.items()]
    found: list[Table] = [("verdict at the horizon", header, tuple(rows))]
    if alone is not None:
        both = tuple((*row, f"{alone[row[0]]:.2f}") for row in rows)
        found = [("verdict at the horizon", (*header, "by the theory alone"), both)]
    crossover = forecast["crossover"]
    if crossover is not None:
        middle = "beyond" if crossover["median"] is None else f"{crossover['median']:,.0f}"
        ends = interval(crossover["lower"], crossover["upper"], "{:,.0f}", "beyond")
        row = ("crossover", middle, ends)
        found.append(("in sequences", ("landmark", "median", f"{level:.0%} interval"), (row,)))
    return found


def _bands(fit: Fit, path: Path) -> bytes:
    """The predicted curves with what was measured before."""
    import pandas as pd
    from matplotlib.figure import Figure

    from .figures import plot_bands

    table: pd.DataFrame = pd.read_csv(path)
    data = fit.measurements
    seen = {
        target.key[0]: (data.sequences[target.at], target.values)
        for target in data.targets
        if target.key[1] == ACCURACY
    }
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    plot_bands(table, measured=seen, until=float(data.sequences[-1]), ax=figure.subplots())
    return picture(figure)
