"""The sections of a report: a measured run, a fit, its forecast, a folder of proposals."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..curves.curve import Curves
from ..curves.landmarks import NAMES, Landmarks, landmarks
from ..curves.verdicts import verdict
from ..dynamics.readout import ACCURACY
from ..files import foreign_parser, sha256_of
from ..proposal.proposals_folder import (
    PREDICTIONS,
    RUNS,
    VERDICTS,
    StoredPrediction,
    StoredVerdict,
    read_predictions,
    read_verdicts,
)
from ..proposal.verification import finished_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fitting import Fit

Table = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]  # caption, header, rows
LEVEL = 0.9  # of intervals and bands in stored forecasts that do not give one
BASES = {"population": "other runs", "own log": "this log alone"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report."""

    title: str
    lead: str  # its summary in a sentence
    figures: tuple[tuple[bytes, str], ...] = ()  # PNG and caption
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader has to know
    sources: tuple[Mapping[str, Any], ...] = ()  # path and sha256 of the files it shows


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _picture(
    plot: Callable[..., Axes], result: Any, *, last: float | None = None, **options: Any
) -> bytes:
    """One plot as PNG; ``last`` ends its horizontal axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = plot(result, ax=figure.subplots(), **options)
    if last is not None:
        axes.set_xlim(0, last)
    return _png(figure)


def _listed(probabilities: Mapping[Any, float]) -> str:
    """Verdicts and their probabilities as text."""
    return ", ".join(f"{name} {share:.2f}" for name, share in probabilities.items())


def _interval(lower: float | None, upper: float | None, form: str, missing: str) -> str:
    """The ends of an interval; ``missing`` stands for an open end."""
    ends = (missing if end is None else form.format(end) for end in (lower, upper))
    return " – ".join(ends)


def _source(path: str | Path) -> dict[str, str]:
    return {"path": str(path), "sha256": sha256_of(path)}


# ---- measured runs --------------------------------------------------------------------------


def of_curves(curves: Curves) -> Section:
    """A measured run: its curves, landmarks and verdict."""
    from .figures import plot_curves

    picture = _picture(plot_curves, curves)
    flip = curves.accuracy("flip")
    lead = f"{len(curves)} curves to {curves.last_sequence:,.0f} sequences"
    tables = []
    if flip is not None and len(flip) > 1:  # a run just begun has fewer points
        marks = landmarks(curves)
        lead = f"ICL is {verdict(curves)} at {marks.horizon:,.0f} sequences"
        tables.append(_landmark_table(marks))
    settings = tuple(
        (name, str(value)) for name, value in curves.settings.items() if name != "original"
    )
    if settings:
        tables.append(("settings", ("setting", "value"), settings))
    source = ", ".join(f"{key} {value}" for key, value in curves.source.items())
    return Section(
        title=f"Run {curves.run}",
        lead=lead,
        figures=((picture, f"accuracies of {curves.run} against sequences seen"),),
        tables=tuple(tables),
        notes=(*curves.notes, f"source: {source}"),
        sources=({name: curves.source.get(name) for name in ("path", "sha256")},),
    )


def _landmark_table(marks: Landmarks) -> Table:
    header = ("landmark", "value", f"{marks.level:.0%} interval")
    rows = []
    for name in NAMES:
        mark = getattr(marks, name)
        if mark is None:
            rows.append((name, "none", ""))
            continue
        form = "{:.3f}" if name == "peak_flip" else "{:,.0f}"
        ends = _interval(mark.lower, mark.upper, form, "open")
        rows.append((name, form.format(mark.value), ends))
    return "landmarks, in sequences", header, tuple(rows)


# ---- fits and their forecasts ----------------------------------------------------------------


def of_fits(path: str) -> list[Section]:
    """Every fit in the file, each followed by its forecast if it has one."""
    from ..fitting import read_fits

    fits, source, sections = read_fits(path), _source(path), []
    with foreign_parser(path, "file of fits", remedy="fit again with coopetition fit -o"):
        entries = json.loads(Path(path).read_text("utf-8"))["fits"]
        for fit, entry in zip(fits, entries, strict=True):
            sections.append(_of_fit(fit, source))
            if entry.get("forecast") is not None:
                sections.append(_of_forecast(fit, entry["forecast"], source))
    return sections


def _of_fit(fit: Fit, source: Mapping[str, Any]) -> Section:
    """A fit: model over data, parameters with intervals, residuals, warnings."""
    from ..fitting.information import CONFIDENCE
    from .figures import fit_figure

    rows = []
    for p in fit.parameters:
        ends = "" if p.lower is p.upper is None else _interval(p.lower, p.upper, "{:.4g}", "")
        rows.append((p.name, f"{p.value:.4g}", ends, p.status))
    header = ("parameter", "value", f"{CONFIDENCE:.0%} interval", "status")
    errors = tuple((name, f"{value:.4f}") for name, value in fit.rmse.items())
    return Section(
        title=f"{fit.model.name} fitted to {fit.run}",
        lead=(
            f"{fit.hits} of {len(fit.starts)} starts found the optimum; AICc {fit.aicc:.1f}, "
            f"BIC {fit.bic:.1f} over {fit.effective:.0f} effective points of {fit.count}"
        ),
        figures=((_png(fit_figure(fit)), "the fitted curves over the data, and residuals"),),
        tables=(
            ("parameters", header, tuple(rows)),
            ("root-mean-square errors", ("evaluator", "error"), errors),
        ),
        notes=fit.warnings,
        sources=(source,),
    )


def _of_forecast(fit: Fit, forecast: Mapping[str, Any], source: Mapping[str, Any]) -> Section:
    """A forecast: verdict probabilities, the crossover, bands."""
    from .figures import plot_bands

    verdicts = _listed(forecast["verdict_probability"]) or "no verdict without flip"
    basis = BASES[forecast["basis"]]
    level = forecast.get("level", LEVEL)
    bands = forecast["curves"] and Path(source["path"]).parent / Path(forecast["curves"]).name
    figures, sources, notes = [], [source], list(forecast["notes"])
    if bands is not None and bands.is_file():
        import pandas as pd

        data = fit.measurements
        measured = {
            target.key[0]: (data.sequences[target.at], target.values)
            for target in data.targets
            if target.key[1] == ACCURACY
        }
        end = float(data.sequences[-1])
        picture = _picture(plot_bands, pd.read_csv(bands), measured=measured, until=end)
        figures.append((picture, f"{level:.0%} bands; grey: measured before"))
        sources.append(_source(bands))
    else:
        notes.append(f"no picture: the predicted curves are not beside the fit ({bands})")
    return Section(
        title=f"Forecast of {fit.run} by {fit.model.name}",
        lead=f"at {forecast['horizon']:,.0f} sequences, from {basis}: {verdicts}",
        figures=tuple(figures),
        tables=_forecast_tables(forecast, level),
        notes=tuple(notes),
        sources=tuple(sources),
    )


def _forecast_tables(forecast: Mapping[str, Any], level: float) -> tuple[Table, ...]:
    """The verdict probabilities, and the interval of the crossover."""
    header: tuple[str, ...] = ("verdict", "probability")
    rows: list[tuple[str, ...]] = [
        (name, f"{share:.2f}") for name, share in forecast["verdict_probability"].items()
    ]
    if theory := forecast.get("theory_probability"):
        header = (*header, "by the theory alone")
        rows = [(*row, f"{theory[row[0]]:.2f}") for row in rows]
    verdicts = ("verdict at the horizon", header, tuple(rows))
    crossover = forecast["crossover"]
    if crossover is None:
        return (verdicts,)
    middle = "beyond" if crossover["median"] is None else f"{crossover['median']:,.0f}"
    ends = _interval(crossover["lower"], crossover["upper"], "{:,.0f}", "beyond")
    header = ("landmark", "median", f"{level:.0%} interval")
    return verdicts, ("in sequences", header, (("crossover", middle, ends),))


# ---- proposals -------------------------------------------------------------------------------


def holds_proposals(path: str) -> bool:
    """Whether `propose -o` wrote this folder."""
    return (Path(path) / PREDICTIONS).is_file()


def of_proposals(path: str) -> Section:
    """The proposals with their probabilities, and their verdicts if verified."""
    folder = Path(path)
    predictions = read_predictions(folder)
    verdicts = read_verdicts(folder)
    files = [folder / PREDICTIONS]
    tables, lead = [_predictions_table(predictions)], f"{len(predictions)} proposals"
    if predictions:
        lead += f" for ICL at {predictions[0].budget:,.0f} sequences"
    if verdicts is None:
        lead += "; not verified yet"
    else:
        files.append(folder / VERDICTS)
        tables.append(_verdicts_table(verdicts.results))
        lead += f"; {_score(verdicts.results)}"
    with foreign_parser(folder, "folder of proposals"):
        figures = tuple(_prediction_figure(folder, prediction) for prediction in predictions)
    return Section(
        title=f"Proposals in {folder}",
        lead=lead,
        figures=figures,
        tables=tuple(tables),
        notes=tuple(f"{one.name}: {one.mechanism}" for one in predictions),
        sources=tuple(_source(file) for file in files),
    )


def _predictions_table(predictions: tuple[StoredPrediction, ...]) -> Table:
    rows = []
    for one in predictions:
        changes = ", ".join(f"{name} {a:g} → {b:g}" for name, (a, b) in one.changes.items())
        rows.append((one.name, changes, f"{one.cost:.2f}", _listed(one.verdict_probability)))
    return "proposals", ("name", "changes", "cost", "predicted"), tuple(rows)


def _verdicts_table(results: tuple[StoredVerdict, ...]) -> Table:
    header = (
        "name", "predicted", "measured", "came true", "peak flip", "final flip", "Brier score",
        "within bands",
    )  # fmt: skip
    rows = [
        (
            one.name,
            f"{one.predicted} ({one.verdict_probability[one.predicted]:.2f})",
            one.measured,
            "yes" if one.came_true else "no",
            f"{one.peak_flip:.2f}",
            f"{one.final_flip:.2f}",
            f"{one.brier:.3f}",
            f"{one.coverage:.0%}",
        )
        for one in results
    ]
    return "verdicts", header, tuple(rows)


def _score(results: tuple[StoredVerdict, ...]) -> str:
    if not results:
        return "none verified yet"
    hits = sum(one.came_true for one in results)
    brier, coverage = np.mean([(one.brier, one.coverage) for one in results], axis=0)
    return (
        f"{hits} of {len(results)} verified came true, Brier score {brier:.3f}, {coverage:.0%} of "
        "the measured points within their bands"
    )


def _prediction_figure(folder: Path, prediction: StoredPrediction) -> tuple[bytes, str]:
    """A picture of the predicted curves, with the measured ones if the run is finished."""
    from .figures import plot_bands

    run = finished_curves(folder / RUNS / prediction.name, prediction.budget)
    measured = {
        evaluator: (curve.sequences, curve.values)
        for (evaluator, metric), curve in ({} if run is None else run.curves).items()
        if metric == ACCURACY
    }
    last = prediction.budget / 1e6
    picture = _picture(plot_bands, prediction.table(), measured=measured, last=last)
    caption = f"predicted accuracies of {prediction.name} with {prediction.level:.0%} bands"
    return picture, caption + ("; grey: measured" if measured else "")
