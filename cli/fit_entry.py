"""What `fit` says of its results: entries of its JSON, and the same as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import echo_json

if TYPE_CHECKING:
    from coopetition.fitting import Fit


def fit_entry(result: Fit) -> dict[str, Any]:
    """Landmarks and verdict."""
    from coopetition.curves.landmarks import NAMES, landmarks
    from coopetition.curves.verdicts import verdict

    predicted = result.predict()
    has_flip = ("flip", "in_context_acc") in predicted.curves
    marks = landmarks(predicted, exact=True).as_dict()
    return {
        "landmarks": {name: marks[name] for name in NAMES} if has_flip else None,
        "verdict": verdict(predicted, exact=True) if has_flip else None,
        "horizon": predicted.last_sequence,
    }


def profiles_entry(result: Fit) -> dict[str, Any]:
    """Each free parameter's profile: value, interval and verdict."""
    from coopetition.fitting import profile

    profiles = {name: profile(result, name) for name in result.free}
    return {
        name: {"value": p.best, "lower": p.lower, "upper": p.upper, "verdict": p.verdict}
        for name, p in profiles.items()
    }


def posterior_entry(
    result: Fit, steps: int, *, seed: int, beside: Path | None, progress: bool
) -> dict[str, Any]:
    """The ``posterior`` of a fit's JSON, samples in ``beside`` with ``.samples.parquet`` added.

    Keys: ``parameters`` {name: {median, lower, upper}} (central 95 %), ``acceptance``,
    ``autocorrelation`` in steps, ``samples`` (a file, or None), ``notes``.
    """
    from coopetition.files import provenance, write_table
    from coopetition.fitting import sample_posterior

    posterior = sample_posterior(result, steps=steps, seed=seed, progress=progress)
    file = None
    if beside is not None:
        file = f"{beside}.samples.parquet"
        columns = {name: posterior.values[:, j] for j, name in enumerate(posterior.names)}
        about = provenance("fit", {"model": result.model.name, "steps": steps}, seed=seed)
        write_table(file, columns, about)
    quantiles = {name: posterior.quantiles(name) for name in posterior.names}
    return {
        "parameters": {
            name: {"median": middle, "lower": lower, "upper": upper}
            for name, (lower, middle, upper) in quantiles.items()
        },
        "acceptance": posterior.acceptance,
        "autocorrelation": posterior.autocorrelation,
        "samples": file,
        "notes": list(posterior.notes),
    }


def tell(fits: list[Fit], entries: list[dict[str, Any]], models: int, as_json: bool) -> None:
    """All results, as JSON or as text."""
    if as_json:
        from coopetition.fitting.fit_files import json_entry

        echo_json([{**json_entry(f), **e} for f, e in zip(fits, entries, strict=True)])
        return
    for result, entry in zip(fits, entries, strict=True):
        click.echo(result.summary())
        click.echo(_said(entry))
    _compare(fits, models)


def _said(entry: dict[str, Any]) -> str:
    """Landmarks, verdict and forecast as text."""
    from coopetition.fitting.information import CONFIDENCE

    lines = []
    marks = entry["landmarks"]
    if marks is not None:
        names = ("emergence", "peak", "crossover", "vanishing")
        times = (f"{n} {'none' if marks[n] is None else format(marks[n], ',.0f')}" for n in names)
        lines.append(
            f"fitted curves: {', '.join(times)}; ICL is {entry['verdict']} at "
            f"{entry['horizon']:,.0f} sequences"
        )
    else:
        lines.append("no landmarks and no verdict: the log has no flip accuracy to fit")
    for name, p in entry.get("profiles", {}).items():
        ends = ["open" if end is None else f"{end:.4g}" for end in (p["lower"], p["upper"])]
        lines.append(
            f"  profile of {name}: {p['value']:.4g} [{ends[0]}, {ends[1]}] ({CONFIDENCE:.0%}), "
            f"{p['verdict']}"
        )
    for name, q in entry.get("posterior", {}).get("parameters", {}).items():
        lines.append(
            f"  posterior of {name}: {q['median']:.4g} [{q['lower']:.4g}, {q['upper']:.4g}] "
            f"({CONFIDENCE:.0%})"
        )
    lines += [f"  note: {note}" for note in entry.get("posterior", {}).get("notes", ())]
    if "forecast" in entry:
        from coopetition.forecasting.result import WORTH_TELLING

        forecast = entry["forecast"]
        odds = ", ".join(f"{n} {p:.2f}" for n, p in forecast["verdict_probability"].items())
        lines.append(
            f"forecast from the {forecast['basis']} at {forecast['horizon']:,.0f} sequences: "
            f"{odds or 'no verdict without flip'}"
        )
        alone = forecast.get("theory_probability", forecast["verdict_probability"])
        moved = (abs(alone[n] - p) for n, p in forecast["verdict_probability"].items())
        if max(moved, default=0.0) >= WORTH_TELLING:
            said = ", ".join(f"{n} {p:.2f}" for n, p in alone.items())
            lines.append(f"  by the theory alone, not corrected on the map's runs: {said}")
        if forecast["crossover"] is not None:
            whens = (forecast["crossover"][name] for name in ("median", "lower", "upper"))
            mid, low, high = ("beyond" if when is None else f"{when:,.0f}" for when in whens)
            lines.append(f"  crossover {mid} [{low}, {high}] ({forecast['level']:.0%})")
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
