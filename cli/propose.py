"""The command `propose`: settings in which in-context learning lasts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .curves_options import columns_option
from .fitted_logs import logs_of
from .options import (
    checked_figure_path,
    checked_output,
    count_option,
    echo_json,
    input_file,
    json_option,
    output_file,
    output_folder,
    quiet_option,
    save_figure,
    seed_option,
)

if TYPE_CHECKING:
    from coopetition.forecasting.settings_map import SettingsMap
    from coopetition.logs import Columns
    from coopetition.proposal import Move, Proposals


class Priced(click.Command):
    """A command whose help lists the settings that may move and their prices, as declared."""

    def get_help(self, ctx: click.Context) -> str:
        """The help with CHANGE, PRICES and USUAL filled in."""
        from coopetition.proposal.moves import CHANGE, DEFAULT, price_words

        usual = f"{', '.join(DEFAULT[:-1])} and {DEFAULT[-1]}"
        self.help = (self.help or "").replace("CHANGE", f"{CHANGE:g}")
        self.help = self.help.replace("PRICES", price_words())
        for option in self.params:
            if isinstance(option, click.Option):
                option.help = (option.help or "").replace("USUAL", usual)
        return super().get_help(ctx)


@click.command(cls=Priced)
@click.argument("fits", metavar="[FIT.json|LOG]...", nargs=-1)
@columns_option
@click.option("--settings", type=input_file, metavar="BASE.yaml", help="The base's settings.")
@click.option("--budget", type=float, metavar="SEQ", help="Sequences at which ICL should "
              "persist; by default the end of the base's run.")  # fmt: skip
@count_option("--count", "Proposals to make.", default=5)
@click.option("--move", "moves", multiple=True, metavar="NAME[=[log:]LOW:HIGH][@PRICE]",
              help="A setting that may move, and its price, 1 by default; without this option "
              "USUAL.")  # fmt: skip
@click.option("--sure", type=float, default=0.8, show_default=True,
              help="Sufficient probability; proposals that reach it come first, the cheapest "
              "at the top.")  # fmt: skip
@click.option("--map", "map_file", type=input_file, metavar="MAP.json",
              help="From coopetition calibrate; else the shipped one for such data.")  # fmt: skip
@count_option("--candidates", "About how many settings to screen.", default=200, least=4)
@count_option(
    "--experiments", "Also name so many runs that would teach the map most.", default=0, least=0
)
@click.option("--boundary", metavar="NAME,NAME", help="Two settings whose boundary --plot draws.")
@click.option("--plot", type=output_file, metavar="FILE",
              help="The boundary of persistent ICL, or probability against cost.")  # fmt: skip
@seed_option("Seed of candidates and draws.")
@click.option("-o", "output", type=output_folder, metavar="DIR",
              help="The folder for settings and predictions.")  # fmt: skip
@quiet_option
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

    The base is BASE.yaml, or the run of the first FIT.json or LOG; all these logs are added to
    the map from settings to dynamics. DIR gets a settings file for each proposal, ready for
    `coopetition train`, and the predictions that `coopetition verify` scores.

    Each setting that a proposal changes costs CHANGE plus its price times the distance moved:
    PRICES. Only settings that are likelier to be persistent than the base are proposed.

    \b
    coopetition propose published:main --budget 2e7
    coopetition propose runs/mine --move match_probability --move n_classes=log:1600:12800@2 -o DIR
    """
    from coopetition.fitting import holds_fits
    from coopetition.forecasting.settings_map import load_map, map_for
    from coopetition.logs.columns import entries_of
    from coopetition.proposal import most_informative, with_runs
    from coopetition.proposal import propose as search
    from coopetition.proposal.base import base_of, require_trainable
    from coopetition.proposal.outcome_regression import second_opinion
    from coopetition.proposal.proposals_folder import PREDICTIONS, require_new, write_proposals

    checked_figure_path(plot)
    pair = boundary_names(boundary, plot)
    if output is not None:
        checked_output(output / PREDICTIONS)
        require_new(output)
    logs = logs_of(fits, columns)
    base = base_of(logs, settings)
    horizon = base.sequences if budget is None else budget
    if not (math.isfinite(horizon) and horizon >= 1):
        raise ValueError(f"--budget {horizon:g}: must be a number of sequences, at least 1")
    allowed = moves_of(moves, base.short)
    notes = require_trainable(base, allowed, written=output is not None)
    prior_map = load_map(map_file) if map_file is not None else map_for(base.short)
    settings_map = with_runs(prior_map, logs)
    proposals = search(
        base.short, settings_map, budget=horizon, moves=allowed, count=count, sure=sure, seed=seed,
        looked_at=candidates, opinion=second_opinion(prior_map, horizon), log=base.log,
        progress=not quiet,
    )  # fmt: skip
    proposals = dataclasses.replace(proposals, notes=(*proposals.notes, *notes))
    screened = [one.candidate for one in proposals.screened] if experiments else []
    informative = most_informative(
        proposals.base, screened, settings_map, budget=horizon, count=experiments
    )
    files: dict[str, Path] = {}
    if output is not None:
        options = {
            "fits": list(fits), "columns": columns and entries_of(columns), "moves": list(moves),
            "settings": settings and str(settings), "map": map_file and str(map_file),
            "count": count, "candidates": candidates,
        }  # fmt: skip
        files = write_proposals(
            proposals, output, settings_map, base.full, settings=options,
            inputs=[*(f for f in fits if holds_fits(f)), *filter(None, (settings, map_file))],
            sources=[curves.source for curves in logs],
        )  # fmt: skip
    if plot is not None:
        draw(proposals, settings_map, allowed, pair, plot, seed)
    if as_json:
        plain = proposals.as_dict({name: str(path) for name, path in files.items()})
        plain["experiments"] = [one.as_dict() for one in informative]
        echo_json(plain)
        return
    for text in (proposals.summary(), *(one.summary() for one in informative)):
        click.echo(text)
    if files:
        click.echo(f"settings and predictions: {output}/; check them with coopetition verify")


def moves_of(texts: tuple[str, ...], base: Mapping[str, Any]) -> list[Move]:
    """The moves that `--move` names, or the default ones."""
    from coopetition.proposal import default_moves, parse_move

    moves: dict[str, tuple[str, Move]] = {}
    for text in texts:
        move = parse_move(text, base)
        if move.setting in moves:
            raise ValueError(
                f"--move {move.setting} is given twice: {moves[move.setting][0]} and {text}"
            )
        moves[move.setting] = text, move
    return [move for _, move in moves.values()] or list(default_moves(base))


def boundary_names(text: str | None, plot: Path | None) -> tuple[str, str] | None:
    """The two settings of `--boundary`."""
    if text is None:
        return None
    if plot is None:
        raise ValueError(f"--boundary {text} is drawn into a file: give --plot FILE")
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2:
        raise ValueError(f"--boundary {text}: write two settings, e.g. match_probability,n_classes")
    return names[0], names[1]


def draw(
    proposals: Proposals,
    settings_map: SettingsMap,
    allowed: list[Move],
    pair: tuple[str, str] | None,
    path: Path,
    seed: int,
) -> None:
    """Draw the boundary over two settings, or probability against cost."""
    from coopetition.errors import unknown_name
    from coopetition.proposal import boundary
    from coopetition.report.figures import plot_boundary, plot_frontier

    if pair is None:
        save_figure(plot_frontier(proposals).figure, path)
        return
    by_name = {move.setting: move for move in allowed}
    for name in pair:
        if name not in by_name:
            raise unknown_name("setting that may move", name, by_name)
    first, second = (by_name[name] for name in pair)
    grid = boundary(proposals.base, settings_map, first, second, budget=proposals.budget, seed=seed)
    save_figure(plot_boundary(grid).figure, path)
