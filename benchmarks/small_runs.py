"""Write the finished runs of a sweep to the package's data.

    python benchmarks/small_runs.py FOLDER [--origin fresh_runs.yaml]

FOLDER is what `coopetition train --settings benchmarks/small_runs.yaml` wrote, or what another file
did that ``--origin`` names. Runs that the data hold already stay as they are, but those of the same
names.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from coopetition.files import write_atomically
from coopetition.logs import read_curves
from coopetition.logs.shipped_runs import CURVES_TABLE, EVALUATORS, SETTINGS_TABLE, VARIED
from coopetition.settings.yaml_files import read_settings
from coopetition.train.optimisation.decay import kind_of

DATA = Path(__file__).parents[1] / "coopetition" / "data"
ORIGIN = "small_runs.yaml"


def kept(names: set[str]) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """Settings and curves of the runs of other names."""
    rows = pd.read_csv(DATA / SETTINGS_TABLE)
    rows = rows[~rows["run"].isin(names)]
    curves = pd.read_csv(DATA / CURVES_TABLE)
    return rows.to_dict("records"), [curves[curves["run"].isin(rows["run"])]]


def collect(folder: Path, origin: str) -> tuple[int, int]:
    """Write all runs that are finished; how many, and how many of them are of this folder."""
    new: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    for place in sorted(path.parent for path in folder.glob("*/settings.yaml")):
        settings = read_settings(place / "settings.yaml")
        if not (place / "curves.csv").exists():
            continue
        (run,) = read_curves(place)
        if run.last_sequence < settings.run.sequences:
            continue
        varied = {key: run.settings[key] for key in VARIED}
        varied["weight_decay_kind"] = kind_of(settings.optimisation)  # AdamW has but one
        new.append({"run": place.name, **varied, "origin": origin})
        of_each = {name: run.curve(name) for name in EVALUATORS}
        columns = {name: curve.values.round(4) for name, curve in of_each.items()}
        x = of_each["flip"].sequences.astype(int)
        n = settings.evaluation.n_sequences
        tables.append(pd.DataFrame({"run": place.name, "sequences": x, "n": n, **columns}))
    rows, curves = kept({row["run"] for row in new})
    settings_table, curves_table = pd.DataFrame(rows + new), pd.concat(curves + tables)
    for name, table in ((SETTINGS_TABLE, settings_table), (CURVES_TABLE, curves_table)):
        write_atomically(DATA / name, table.to_csv(index=False, lineterminator="\n"))
    return len(rows) + len(new), len(new)


def main() -> None:
    """Parse and collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--origin", default=ORIGIN, help="the sweep's file  [%(default)s]")
    arguments = parser.parse_args()
    total, own = collect(arguments.folder, arguments.origin)
    sys.stdout.write(f"{total} runs, {own} of them of this folder\n")


if __name__ == "__main__":
    main()
