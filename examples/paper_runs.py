"""Figures 1b and 6 of arXiv 2503.05631 and those of its appendix, from runs of our own.

The runs are described in `examples/paper_runs/*.yaml`, each file a sweep that `coopetition train
--settings FILE --executor local -o paper/NAME` trains on a GPU. This reads what is there under
``paper`` and draws a picture of each; thin lines are single seeds.

    python examples/paper_runs.py paper [FOLDER]
"""

import dataclasses
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coopetition.curves.curve import Curves
from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import verdict
from coopetition.logs import read_curves
from coopetition.report.figures import plot_curves

SHOWN = ("train", "icl", "ciwl", "flip")  # evaluators in the paper's figures
FORMATS = (".csv", ".parquet")
MAIN = "match_probability=0"  # how a sweep names the main setting beside matched exemplars
TITLES = {
    "main": "the main setting, and matched exemplars",
    "omniglot": "the same on features of Omniglot",
    "classes": "appendix A: classes and exemplars",
    "match_share": "share of sequences with matched exemplars",
    "weight_decay": "weight decay, by where it acts and how strongly",
    "width": "appendix A: width",
    "positions": "appendix A: positions",
    "spread": "the within-class spread of Gaussian classes",
}


def by_setting(runs: Iterable[Curves]) -> dict[str, list[Curves]]:
    """The runs of each setting, seeds together."""
    found: dict[str, list[Curves]] = {}
    for run in runs:
        found.setdefault(re.sub(r"_?seed=\d+$", "", run.run) or "all", []).append(run)
    return found


def only(run: Curves, evaluators: Iterable[str]) -> Curves:
    """The run's curves of some evaluators."""
    wanted = {key: curve for key, curve in run.curves.items() if key[0] in evaluators}
    return dataclasses.replace(run, curves=wanted)


def draw(seeds: list[Curves], title: str, evaluators: Iterable[str], ax: Axes) -> None:
    """All seeds of one setting, each evaluator in its colour, named once."""
    for later, run in enumerate(seeds):
        named = {"label": "_"} if later else {}
        plot_curves(only(run, evaluators), ax=ax, linewidth=1.0, alpha=0.8, **named)
    ax.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    ax.set_title(f"{title} ({len(seeds)} seeds)", fontsize="small")


def picture(
    settings: dict[str, list[Curves]], evaluators: Iterable[str], title: str, path: Path
) -> None:
    """One panel for each setting."""
    across = min(4, len(settings))
    down = -(-len(settings) // across)
    figure = Figure(figsize=(4.2 * across, 3.3 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).flat
    for (name, seeds), ax in zip(settings.items(), axes, strict=False):
        draw(seeds, name, evaluators, ax)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def main(paper: Path, folder: Path) -> None:
    """Draw every sweep under ``paper`` and say what came of each run."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [path for path in sorted(paper.glob("*/sweep_curves.*")) if path.suffix in FORMATS]
    if not tables:
        sys.exit(f"{paper} holds no sweeps; train one: coopetition train --settings … --executor …")
    for table in tables:
        sweep, settings = table.parent.name, by_setting(read_curves(table))
        for seeds in settings.values():
            for run in seeds:
                marks = landmarks(run)
                peak = "none" if marks.peak_flip is None else f"{marks.peak_flip.value:.2f}"
                print(f"{sweep:14s} {run.run:40s} {verdict(run):11s} peak flip {peak}")
        picture(settings, SHOWN, TITLES.get(sweep, sweep), folder / f"{sweep}.png")
        if sweep in ("main", "omniglot") and MAIN in settings:
            alone = {MAIN: settings[MAIN]}
            picture(alone, SHOWN, "figure 1b", folder / f"figure_1b_{sweep}.png")
            picture(settings, ("flip",), "figure 6a", folder / f"figure_6a_{sweep}.png")
    print(f"pictures are in {folder}")


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(
        given[0] if given else Path("paper"), given[1] if len(given) > 1 else Path("paper-figures")
    )
