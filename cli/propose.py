"""Proposing settings in which in-context learning lasts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .curves_options import columns_option
from .fitted_logs import logs_of
from .options import (
    checked_figure_path,
    checked_output,
    finite,
    input_file,
    json_option,
    save_figure,
)
from .proposal_base import base_of, budget_of, log_of_base, moves_of, require_trainable

if TYPE_CHECKING:
    from coopetition.forecasting.settings_map import SettingsMap
    from coopetition.logs import Columns
    from coopetition.proposal import Experiment, Move, Proposals
    from coopetition.settings.training import TrainingSettings

SEEDS = 1000  # proposals are trained with seeds of their own, from here


@click.command()
@click.argument("fits", metavar="[FIT.json|LOG]...", nargs=-1)
@columns_option
@click.option("--settings", type=input_file, metavar="BASE.yaml", help="The base's settings.")
@click.option("--budget", type=float, metavar="SEQ", help="Where ICL is to be there; default: "
              "the end of the base's run.")  # fmt: skip
@click.option(
    "--count", type=click.IntRange(min=1), default=5, show_default=True, help="Proposals to make."
)
@click.option("--move", "moves", multiple=True, metavar="NAME[=[log:]LOW:HIGH][@PRICE]",
              help="A setting that may move, and its price, 1 if none is given; match_probability, "
              "n_classes, n_exemplars and spread where none is named.")  # fmt: skip
@click.option("--sure", type=float, default=0.8, show_default=True,
              help="Probability that suffices; the cheapest that reach it come first.")  # fmt: skip
@click.option("--map", "map_file", type=input_file, metavar="MAP.json",
              help="From coopetition calibrate; else the shipped one for such data.")  # fmt: skip
@click.option(
    "--candidates",
    type=click.IntRange(min=4),
    default=200,
    show_default=True,
    help="Settings to look at.",
)
@click.option("--experiments", type=click.IntRange(min=0), default=0, show_default=True,
              help="Also name so many runs that would sharpen the map most.")  # fmt: skip
@click.option("--boundary", metavar="NAME,NAME", help="Two settings, for --plot.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="The boundary of persistent ICL, or probability against cost.")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of candidates and draws.",
)
@click.option(
    "-o",
    "output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where settings and predictions go.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
def propose(
    fits: tuple[str, ...],
    columns: Columns | None,
    settings: Path | None,
    budget: float | None,
    count: int,
    moves: tuple[str, ...],
    sure: float,
    map_file: Path | None,
    candidates: int,
    experiments: int,
    boundary: str | None,
    plot: Path | None,
    seed: int,
    output: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Propose settings near a base in which ICL lasts to the budget.

    The base is BASE.yaml, or the run of the first FIT.json or LOG; what these logs say sharpens
    the map from settings to dynamics. DIR gets a settings file for each proposal, ready for
    `coopetition train`, and the predictions that `coopetition verify` scores.

    A proposal costs, for each setting that it changes, 0.1 and the setting's price times the way it
    goes: in factors of 2 (n_classes, n_exemplars, spread, lr, batch_size, width), else in units of
    0.5 (match_probability, weight_decay, input_noise), 0.25 (label_noise), 1 (zipf_exponent) or 4
    (mlp_ratio). Only what is likelier to be persistent than the base is proposed.

    \b
    coopetition propose published:main --budget 2e7
    coopetition propose runs/mine --move match_probability --move n_classes=log:1600:12800@2 -o DIR
    """
    from coopetition.forecasting.settings_map import load_map, map_for
    from coopetition.logs.columns import entries_of
    from coopetition.proposal import propose as search
    from coopetition.proposal import with_runs
    from coopetition.proposal.storage import PREDICTIONS, require_new

    checked_figure_path(plot)
    pair = boundary_names(boundary, plot)
    if output is not None:
        checked_output(output / PREDICTIONS)
        require_new(output)
    logs = logs_of(fits, columns)
    short, full = base_of(logs, settings)
    horizon = budget_of(budget, full.run.sequences if settings else logs[0].last_sequence)
    allowed = moves_of(moves, short)
    told = require_trainable(short, full, allowed, output)
    chosen = load_map(map_file) if map_file is not None else map_for(short)
    settings_map = with_runs(chosen, logs)
    found = search(
        short, settings_map, budget=horizon, moves=allowed, count=count, sure=sure, seed=seed,
        looked_at=candidates, opinion=second_opinion(chosen, horizon),
        log=log_of_base(logs, settings), progress=not quiet,
    )  # fmt: skip
    found = dataclasses.replace(found, notes=(*found.notes, *told))
    teaching = informative(found, settings_map, experiments)
    read = [one for one in fits if one.endswith(".json")]
    read += [str(one) for one in (settings, map_file) if one is not None]
    asked = {
        "fits": list(fits), "columns": columns and entries_of(columns), "moves": list(moves),
        "settings": settings and str(settings), "map": map_file and str(map_file),
        "count": count, "candidates": candidates,
    }  # fmt: skip
    files = written(
        found, full, settings_map, output,
        settings=asked, inputs=read, sources=[curves.source for curves in logs],
    )  # fmt: skip
    if plot is not None:
        draw(found, settings_map, allowed, pair, plot, seed)
    if as_json:
        click.echo(json.dumps(finite(as_plain(found, files, teaching))))
        return
    click.echo(found.summary())
    for one in teaching:
        changes = ", ".join(f"{name} = {value:g}" for name, value in one.candidate.changes.items())
        click.echo(f"experiment: {changes} would teach {one.gain:.2f} nats")
    if output is not None and found.proposals:
        click.echo(f"settings and predictions: {output}/; check them with coopetition verify")


def second_opinion(
    settings_map: SettingsMap, budget: float
) -> Callable[[Mapping[str, Any]], Mapping[str, float]] | None:
    """What a regression without a theory says, where the small runs, its and the map's, tell."""
    from coopetition.forecasting.settings_map import small_map
    from coopetition.proposal.knowledge import small_regression

    if settings_map is not small_map() or not small_regression().knows(budget):
        return None
    return small_regression().predict


def boundary_names(text: str | None, plot: Path | None) -> tuple[str, str] | None:
    """The two settings of a boundary."""
    if text is None:
        return None
    if plot is None:
        raise ValueError(f"--boundary {text} is drawn into a file: give --plot FILE")
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2:
        raise ValueError(f"--boundary {text}: write two settings, e.g. match_probability,n_classes")
    return names[0], names[1]


def informative(found: Proposals, settings_map: SettingsMap, count: int) -> tuple[Experiment, ...]:
    """The runs that would teach most among those looked at."""
    from coopetition.proposal import most_informative

    if not count:
        return ()
    screened = [one.candidate for one in found.screened]
    return most_informative(found.base, screened, settings_map, budget=found.budget, count=count)


def written(
    found: Proposals,
    base: TrainingSettings,
    settings_map: SettingsMap,
    folder: Path | None,
    **about: Any,
) -> dict[str, str]:
    """Settings files by proposal, and everything else that belongs into the folder.

    ``about`` is what `write_proposals` is told of the command.
    """
    from coopetition.proposal.storage import settings_file, write_proposals
    from coopetition.settings.short_names import with_short_names
    from coopetition.settings.yaml_files import write_settings

    if folder is None:
        return {}
    made = {}
    for number, proposal in enumerate(found.proposals):
        changed = with_short_names(base, {n: to for n, (_, to) in proposal.changes.items()})
        run = changed.run.replace(seed=SEEDS + number, sequences=round(found.budget))
        made[settings_file(folder, proposal)] = changed.replace(name=proposal.name, run=run)
    folder.mkdir(parents=True, exist_ok=True)
    for path, changed in made.items():
        write_settings(changed, path)
    write_proposals(found, folder, settings_map, **about)
    return {path.stem: str(path) for path in made}


def draw(
    found: Proposals,
    settings_map: SettingsMap,
    allowed: list[Move],
    pair: tuple[str, str] | None,
    path: Path,
    seed: int,
) -> None:
    """The boundary over two settings, or probability against cost."""
    from coopetition.errors import unknown_name
    from coopetition.proposal import boundary
    from coopetition.report.figures import plot_boundary, plot_frontier

    if pair is None:
        save_figure(plot_frontier(found).figure, path)
        return
    named = {move.setting: move for move in allowed}
    for name in pair:
        if name not in named:
            raise unknown_name("setting that may move", name, named)
    over = boundary(
        found.base, settings_map, named[pair[0]], named[pair[1]], budget=found.budget, seed=seed
    )
    save_figure(plot_boundary(over).figure, path)


def as_plain(
    found: Proposals, files: dict[str, str], teaching: tuple[Experiment, ...]
) -> dict[str, Any]:
    """What `--json` says."""
    return {
        "base": found.base_as_dict(),
        "budget": found.budget,
        "proposals": [p.as_dict(files.get(p.name)) for p in found.proposals],
        "frontier": [
            {"cost": s.candidate.cost, "probability_persistent": s.persistent,
             "changes": dict(s.candidate.changes)}
            for s in found.frontier
        ],
        "experiments": [
            {"changes": dict(one.candidate.changes), "gain": one.gain} for one in teaching
        ],
        "notes": list(found.notes),
    }  # fmt: skip
