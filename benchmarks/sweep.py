"""The sweep behind the map of small runs: settings of every outcome, each under a minute or two.

    python benchmarks/sweep.py FOLDER [--processes 2]
    python benchmarks/sweep.py FOLDER --collect

The first trains what is not trained yet in FOLDER, one ensemble after another in each process, and
continues what was interrupted. The second writes the curves and the settings of what is finished to
the package's data. All runs: 64-dimensional Gaussian classes, the paper's 2-layer network of width
64, Adam, batches of 16, 320,000 or 400,000 sequences.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

BASE: dict[str, Any] = {"n_classes": 4800, "n_exemplars": 20, "spread": 0.5, "match": 0.0}
DATA = Path(__file__).parents[1] / "coopetition" / "data"
SEQUENCES = 400_000
EVERY = 16_000

FEW = {"n_classes": 3200, "spread": 0.6}
PASSING = {"match": 0.7, "lr": 5e-4, "sequences": 320_000}  # the preset cpu-transient-slow
# Members of an ensemble share classes (the unembedding's size) and the kind of weight decay. The
# order mixes what is varied, so that a broken-off sweep is still spread over all of it.
ENSEMBLES: dict[str, list[dict[str, Any]]] = {
    "match": [{**FEW, "match": share} for share in (0.7, 0.5, 1.0, 0.0)],
    "mixed": [
        {**FEW, "match": 0.7, "spread": 0.4},
        {**FEW, "match": 0.7, "spread": 0.8},
        {**FEW, "match": 0.7, "lr": 6e-4},
        {**FEW, "match": 0.7, "n_exemplars": 5},
    ],
    "base": [{}, {"n_exemplars": 10}, {"spread": 0.4}, {"match": 0.5}],
    "decay-all": [{"wd": 0.1}, {"wd": 0.3}, {"wd": 1.0}],
    "transient": [{**PASSING, "match": share} for share in (0.7, 1.0, 0.9, 0.4)],
    "transient-few": [
        {**PASSING, "n_classes": 3200, "match": 0.7},
        {**PASSING, "n_classes": 3200, "match": 1.0},
        {**PASSING, "n_classes": 3200, "match": 0.9},
        {**PASSING, "n_classes": 3200, "match": 0.7, "spread": 0.7},
    ],
    "transient-mixed": [
        {**PASSING, "spread": 0.7},
        {**PASSING, "n_exemplars": 10},
        {**PASSING, "n_exemplars": 40},
        {**PASSING, "lr": 3e-4},
    ],
    "transient-many": [
        {**PASSING, "n_classes": 7200},
        {**PASSING, "n_classes": 7200, "match": 0.9},
        {**PASSING, "n_classes": 7200, "match": 0.4},
    ],
    "transient-decay": [{**PASSING, "wd": 0.1}, {**PASSING, "wd": 0.3}, {**PASSING, "wd": 1.0}],
    "transient-decay-attention": [
        {**PASSING, "wd": 0.3, "on": "attention"},
        {**PASSING, "wd": 1.0, "on": "attention"},
    ],
    "transient-fewest": [
        {**PASSING, "n_classes": 2000, "match": 1.0},
        {**PASSING, "n_classes": 2000, "match": 0.9, "spread": 0.7},
        {**PASSING, "n_classes": 2000, "match": 1.0, "n_exemplars": 5},
        {**PASSING, "n_classes": 2000, "match": 0.7, "lr": 3e-4},
    ],
    "transient-decay-embeddings": [
        {**PASSING, "wd": 0.3, "on": "embeddings"},
        {**PASSING, "wd": 1.0, "on": "embeddings"},
    ],
    "many-classes": [
        {"n_classes": 6400},
        {"n_classes": 6400, "n_exemplars": 10},
        {"n_classes": 6400, "match": 0.5, "spread": 0.6},
    ],
}
SHORT = {"n_classes": "c", "n_exemplars": "e", "spread": "s", "match": "m"}


def name_of(changes: dict[str, Any]) -> str:
    """A run's name, which tells its settings."""
    values = {**BASE, **changes}
    name = "-".join(f"{short}{values[key]:g}" for key, short in SHORT.items())
    name += f"-lr{values['lr']:g}" if "lr" in values else ""
    return name + (f"-wd{values['wd']:g}{values.get('on', 'all')}" if "wd" in values else "")


def seed_of(changes: dict[str, Any]) -> int:
    """A seed of its own for every run, so that the spread between seeds is in the map."""
    every = [other for members in ENSEMBLES.values() for other in members]
    return every.index(changes)


def settings_of(changes: dict[str, Any]) -> Any:
    """The training settings of a run that differs from the base by ``changes``."""
    from coopetition.train.settings import TrainingSettings

    values = {**BASE, **changes}
    data = {key: values[key] for key in ("n_classes", "n_exemplars", "spread")}
    decay = {"weight_decay_kind": "decoupled", "optimizer": "adamw"} if "wd" in values else {}
    return TrainingSettings(
        name=name_of(changes),
        data={**data, "dim": 64},
        sequences={"match_probability": values["match"]},
        optimisation={
            "lr": values.get("lr", 3e-4),
            "batch_size": 16,
            "weight_decay": values.get("wd", 0.0),
            "weight_decay_on": values.get("on", "all"),
            **decay,
        },
        evaluation={
            "names": ("train", "icl", "ciwl", "flip"),
            "every": EVERY,
            "n_sequences": 600,
        },
        run={
            "sequences": values.get("sequences", SEQUENCES),
            "seed": seed_of(changes),
            "per_sequence": False,
            "checkpoint_every": 100_000,
            "threads": 1,
        },
    )


def train_ensemble(name: str, folder: str) -> str:
    """Train or continue one ensemble; what to say of it."""
    os.nice(max(0, 5 - os.nice(0)))  # a worker trains several
    from coopetition.landmarks import verdict
    from coopetition.train.loop import train

    members = [settings_of(changes) for changes in ENSEMBLES[name]]
    runs = train(members, Path(folder) / name, resume=True, device="cpu", progress=False)
    return "\n".join(
        f"{run.settings.name}: {verdict(run.curves)}, peak {peak_of(run.curves):.2f}, "
        f"final flip {run.final()['flip']:.2f} ({run.seconds / len(runs):.0f} s)"
        for run in runs
    )


def peak_of(curves: Any) -> float:
    """The highest flip accuracy of a run, smoothed."""
    from coopetition.landmarks import landmarks

    peak = landmarks(curves).peak_flip
    return float("nan") if peak is None else float(peak.value)


def train_all(folder: Path, processes: int, first: list[str]) -> None:
    """Train what is missing, some ensembles at a time, those named first before the others."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    order = sorted(ENSEMBLES, key=lambda name: first.index(name) if name in first else len(first))
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
        waiting = [pool.submit(train_ensemble, name, str(folder)) for name in order]
        for done in concurrent.futures.as_completed(waiting):
            sys.stdout.write(done.result() + "\n")
            sys.stdout.flush()


def kept() -> tuple[list[dict[str, Any]], list[Any]]:
    """What the package has of other origin: runs made while looking for presets."""
    import pandas as pd

    from coopetition.logs.small_runs import CURVES_TABLE, SETTINGS_TABLE

    if not (DATA / SETTINGS_TABLE).exists():
        return [], []
    rows = pd.read_csv(DATA / SETTINGS_TABLE)
    rows = rows[rows["origin"] != "sweep"]
    curves = pd.read_csv(DATA / CURVES_TABLE)
    return rows.to_dict("records"), [curves[curves["run"].isin(rows["run"])]]


def collect(folder: Path) -> tuple[int, int]:
    """Write all runs that are finished; how many, and how many of them are of this sweep."""
    import pandas as pd

    from coopetition.files import write_atomically
    from coopetition.logs import read_curves
    from coopetition.logs.small_runs import CURVES_TABLE, EVALUATORS, SETTINGS_TABLE, VARIED

    rows, tables = kept()
    for ensemble, members in ENSEMBLES.items():
        for settings in map(settings_of, members):
            place = folder / ensemble / settings.name
            if not (place / "curves.csv").exists():
                continue
            (run,) = read_curves(place)
            if run.last_sequence < settings.run.sequences:
                continue
            own = {key: run.settings[key] for key in VARIED}
            rows.append({"run": run.run, **own, "origin": "sweep"})
            of_each = {name: run.curve(name) for name in EVALUATORS}
            columns = {name: curve.values.round(4) for name, curve in of_each.items()}
            x = of_each["flip"].sequences.astype(int)
            n = settings.evaluation.n_sequences
            tables.append(pd.DataFrame({"run": run.run, "sequences": x, "n": n, **columns}))
    for name, table in ((SETTINGS_TABLE, pd.DataFrame(rows)), (CURVES_TABLE, pd.concat(tables))):
        write_atomically(DATA / name, table.to_csv(index=False, lineterminator="\n"))
    return len(rows), sum(row["origin"] == "sweep" for row in rows)


def main() -> None:
    """Parse, train or collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--first", nargs="*", default=[], choices=list(ENSEMBLES))
    parser.add_argument("--collect", action="store_true", help="write what is finished")
    arguments = parser.parse_args()
    if arguments.collect:
        total, own = collect(arguments.folder)
        sys.stdout.write(f"{total} runs, {own} of them of this sweep\n")
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    train_all(arguments.folder, arguments.processes, arguments.first)


if __name__ == "__main__":
    main()
