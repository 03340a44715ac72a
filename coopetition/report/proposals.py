"""A folder of proposals in a report, with what came of them once they are verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..dynamics.readout import ACCURACY
from ..files import sha256_of
from ..proposal.proposals_folder import (
    PREDICTIONS,
    RUNS,
    VERDICTS,
    StoredPrediction,
    StoredVerdict,
    read_predictions,
    read_verdicts,
)
from ..proposal.verification import finished
from .section import Section, Table, in_words, picture


def holds_proposals(path: str) -> bool:
    """Whether it is a folder that `propose -o` wrote."""
    return (Path(path) / PREDICTIONS).is_file()


def of_proposals(path: str) -> Section:
    """The proposals with their probabilities, and measured beside predicted where verified."""
    folder = Path(path)
    predictions = read_predictions(folder)
    verdicts = read_verdicts(folder)
    files = [folder / PREDICTIONS]
    tables, lead = [_proposed(predictions)], f"{len(predictions)} proposals"
    if predictions:
        lead += f" for ICL at {predictions[0].budget:,.0f} sequences"
    if verdicts is None:
        lead += "; not verified yet"
    else:
        files.append(folder / VERDICTS)
        tables.append(_verified(verdicts.results))
        lead += f"; {_score(verdicts.results)}"
    return Section(
        title=f"Proposals in {folder}",
        lead=lead,
        figures=tuple(_compared(folder, prediction) for prediction in predictions),
        tables=tuple(tables),
        notes=tuple(f"{one.name}: {one.mechanism}" for one in predictions),
        sources=tuple({"path": str(file), "sha256": sha256_of(file)} for file in files),
    )


def _proposed(predictions: tuple[StoredPrediction, ...]) -> Table:
    rows = []
    for one in predictions:
        changes = ", ".join(f"{name} {a:g} → {b:g}" for name, (a, b) in one.changes.items())
        rows.append((one.name, changes, f"{one.cost:.2f}", in_words(one.verdict_probability)))
    return "proposals", ("name", "changes", "cost", "predicted"), tuple(rows)


def _verified(results: tuple[StoredVerdict, ...]) -> Table:
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
    return "what came of them", header, tuple(rows)


def _score(results: tuple[StoredVerdict, ...]) -> str:
    if not results:
        return "none verified yet"
    hits = sum(one.came_true for one in results)
    brier, coverage = (
        np.mean([getattr(r, name) for r in results]) for name in ("brier", "coverage")
    )
    return (
        f"{hits} of {len(results)} verified came true, Brier score {brier:.3f}, {coverage:.0%} of "
        "the measured points within their bands"
    )


def _compared(folder: Path, prediction: StoredPrediction) -> tuple[bytes, str]:
    """The predicted curves, and the measured ones where the run is finished."""
    from matplotlib.figure import Figure

    from .figures import plot_bands

    run = finished(folder / RUNS / prediction.name, prediction.budget)
    seen = {
        evaluator: (curve.sequences, curve.values)
        for (evaluator, metric), curve in ({} if run is None else run.curves).items()
        if metric == ACCURACY
    }
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = plot_bands(prediction.table(), measured=seen, ax=figure.subplots())
    axes.set_xlim(0, prediction.budget / 1e6)
    words = f"predicted accuracies of {prediction.name} with {prediction.level:.0%} bands"
    return picture(figure), words + ("; grey: measured" if seen else "")
