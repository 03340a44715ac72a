"""How far settings alone tell what becomes of ICL in small runs, and whether proposals come true.

    python benchmarks/proposals.py outcomes [--strict]
    python benchmarks/proposals.py experiment FOLDER [--processes 2] [--budget 1600000]

``outcomes`` predicts the verdict of every small run (``cpu:*``) from its settings, by a map without
the runs of those settings and by baselines. The runs left out still had a part in the map's
deviations, in the other runs' optima and in what the map foresaw of those; with ``--strict`` the
map is calibrated anew for each setting (minutes each). The outcome is clear where flip ends outside
.45 to .55.

``experiment`` proposes ten settings near a transient base with the shipped map, trains all of them
and compares. Begun again, it continues; the predictions are made once.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import multiprocessing
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from coopetition.curves.curve import Curves
from coopetition.curves.verdicts import VERDICTS, verdict
from coopetition.forecasting import forecast, forecast_settings
from coopetition.forecasting.scores import brier
from coopetition.forecasting.settings_map import SettingsMap, calibrate, small_map
from coopetition.forecasting.theories import THEORIES
from coopetition.logs import read_curves, small_runs
from coopetition.proposal import regress_outcomes
from coopetition.settings.covariates import covariates

CLEAR = (0.45, 0.55)
DRAWS = 1000
SHARES = (0.25, 0.5)  # of a log
BASE = """\
name: transient-base
data: {n_classes: 4000, n_exemplars: 20, spread: 0.5}
sequences: {match_probability: 0.8}
optimisation: {optimizer: adamw, lr: 0.0006, batch_size: 32, weight_decay: 0}
evaluation: {names: [train, icl, ciwl, flip], every: 20000, n_sequences: 500}
run: {sequences: %d, per_sequence: false, checkpoint_every: 400000, threads: 1}
"""
MOVES = ("match_probability=0.5:1", "n_classes=log:2400:8000", "n_exemplars=log:5:40",
         "lr=log:2e-4:8e-4", "weight_decay=0:0.5")  # fmt: skip
SETTINGS = ("n_classes", "n_exemplars", "spread", "match_probability", "lr", "batch_size",
            "weight_decay", "weight_decay_on")  # fmt: skip

Predictor = Callable[[list[str], str], Mapping[str, float]]  # runs to learn from, run to predict


class Runs:
    """The small runs and further ones, their outcomes and settings."""

    def __init__(self, further: Mapping[str, Curves] | None = None) -> None:
        self.curves = {name: read_curves(f"cpu:{name}")[0] for name in small_runs()}
        self.curves |= further or {}
        self.verdict = {name: verdict(curves) for name, curves in self.curves.items()}
        self.settings = {
            name: {**curves.settings, "horizon": curves.last_sequence}
            for name, curves in self.curves.items()
        }
        self.key = {n: tuple(s[field] for field in SETTINGS) for n, s in self.settings.items()}

    def clear(self, name: str) -> bool:
        """Whether flip ends outside the unclear range."""
        end = float(self.curves[name].curve("flip").values[-1])
        return not CLEAR[0] <= end <= CLEAR[1]

    def others(self, name: str) -> list[str]:
        """The runs of other settings."""
        return [other for other in self.curves if self.key[other] != self.key[name]]

    def majority(self, learnt: list[str], _: str) -> Mapping[str, float]:
        """The frequencies of the verdicts."""
        count = Counter(self.verdict[name] for name in learnt)
        return {v: count[v] / len(learnt) for v in VERDICTS}

    def nearest(self, learnt: list[str], name: str) -> Mapping[str, float]:
        """The outcome of the nearest settings, a little hedged."""

        def place(run: str) -> list[float]:
            return [value or 0.0 for value in covariates(self.settings[run]).values()]

        own = place(name)

        def distance(run: str) -> float:
            return sum((a - b) ** 2 for a, b in zip(own, place(run), strict=True))

        outcome = self.verdict[min(learnt, key=distance)]
        return {v: 0.8 if v == outcome else 0.1 for v in VERDICTS}

    def regression(self, learnt: list[str], name: str) -> Mapping[str, float]:
        """Logistic regression on the settings."""
        regression = regress_outcomes(
            [self.settings[run] for run in learnt], [self.verdict[run] for run in learnt]
        )
        return regression.predict(self.settings[name])

    def unanimous(self, name: str) -> bool:
        """Whether there are runs that differ in their seed only, and all ended alike."""
        alike = [self.verdict[n] for n in self.curves if self.key[n] == self.key[name]]
        return len(alike) > 1 and len(set(alike)) == 1

    def by_map(
        self, settings_map: SettingsMap, *, strict: bool, theory: Any, corrected: bool = True
    ) -> Predictor:
        """Forecasts from settings by a map without the runs of those settings.

        ``corrected`` on the map's other runs, or the theory's own.
        """
        first = {run.run: run.optimum for run in settings_map.runs}  # saves time, nothing else

        @functools.cache
        def chances(key: tuple[Any, ...], horizon: float) -> Mapping[str, float]:
            learnt = [name for name in self.curves if self.key[name] != key]
            if strict:
                used = calibrate([self.curves[n] for n in learnt], theory=theory, first=first)
            else:
                used = settings_map.without(*(first.keys() - set(learnt)))
            settings = next(self.curves[n].settings for n in self.curves if self.key[n] == key)
            told = forecast_settings(settings, used, horizon=horizon, draws=DRAWS)
            return told.verdict_probability if corrected else told.theory_probability

        return lambda _, name: chances(self.key[name], self.curves[name].last_sequence)

    def by_log(self, settings_map: SettingsMap, share: float) -> Predictor:
        """Forecasts from a share of the run's own log, by a map without runs of its settings."""

        def predict(learnt: list[str], name: str) -> Mapping[str, float]:
            used = settings_map.without(*({run.run for run in settings_map.runs} - set(learnt)))
            curves = self.curves[name]
            end = curves.last_sequence
            seen = forecast(curves, used, horizon=end, until=share * end, draws=DRAWS)
            return seen.verdict_probability

        return predict


def averaged(first: Predictor, second: Predictor) -> Predictor:
    """The mean of two predictions."""

    def predict(learnt: list[str], name: str) -> Mapping[str, float]:
        a, b = first(learnt, name), second(learnt, name)
        return {v: 0.5 * (a[v] + b[v]) for v in VERDICTS}

    return predict


def score(runs: Runs, predict: Predictor) -> str:
    """Hits among all runs, the clear ones, those whose seeds agree, those of random settings."""
    asked = {
        "all": list(runs.curves),
        "clear": [name for name in runs.curves if runs.clear(name)],
        "unanimous": [name for name in runs.curves if runs.unanimous(name)],
        "random": [n for n in runs.curves if n.startswith("fresh-") and runs.clear(n)],
    }
    chances = {name: predict(runs.others(name), name) for name in runs.curves}
    hit = {n: max(p, key=lambda v: p[v]) == runs.verdict[n] for n, p in chances.items()}
    hits = [f"{sum(hit[name] for name in names)}/{len(names)}" for names in asked.values()]
    n = len(chances)
    total = sum(brier(p, runs.verdict[name]) for name, p in chances.items()) / n
    misses = (p["persistent"] - (runs.verdict[name] == "persistent") for name, p in chances.items())
    return f"{' | '.join(hits)} | {total:.3f} | {sum(miss**2 for miss in misses) / n:.3f}"


def outcomes(*, strict: bool) -> None:
    """Print the table of leave-one-setting-out predictions."""
    runs = Runs()
    count = Counter(runs.verdict.values())
    sys.stdout.write(f"{len(runs.curves)} runs, {len(set(runs.key.values()))} settings: {count}\n")
    alike = [n for n in runs.curves if any(
        o != n and runs.key[o] == runs.key[n] for o in runs.curves)]  # fmt: skip
    pairs = [(a, b) for a in alike for b in alike if a < b and runs.key[a] == runs.key[b]]
    agree = sum(runs.verdict[a] == runs.verdict[b] for a, b in pairs)
    sys.stdout.write(
        f"pairs of runs that differ in their seed only: {agree} of {len(pairs)} agree; who knew "
        f"the most frequent outcome of each setting would be right on {known_best(runs, alike)} "
        f"of {len(alike)}\n"
    )
    predictors: dict[str, Predictor] = {
        "majority": runs.majority,
        "nearest setting": runs.nearest,
        "logistic regression": runs.regression,
    }
    for theory in ("coopetition", *THEORIES.values()):
        name = theory if isinstance(theory, str) else theory.name
        known = small_map() if name == "coopetition" else None
        settings_map = known or calibrate(list(runs.curves.values()), theory=theory)
        predictors[f"map, {name}"] = runs.by_map(settings_map, strict=strict, theory=theory)
    predictors["map, coopetition, not corrected on its runs"] = runs.by_map(
        small_map(), strict=strict, theory="coopetition", corrected=False
    )
    for share in SHARES:
        label = f"map, coopetition, and the first {100 * share:.0f} % of the log"
        predictors[label] = runs.by_log(small_map(), share)
    predictors["map, coopetition, and logistic regression, averaged"] = averaged(
        predictors["map, coopetition"], runs.regression
    )
    sys.stdout.write(
        "| verdict from settings | right | right where clear | right where seeds agree | right at "
        "random settings, where clear | Brier | (P persistent)² |\n|---|---|---|---|---|---|---|\n"
    )
    for name, predict in predictors.items():
        sys.stdout.write(f"| {name} | {score(runs, predict)} |\n")
        sys.stdout.flush()


def known_best(runs: Runs, alike: list[str]) -> int:
    """Runs with siblings that ended as most of their setting's did."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in alike:
        groups.setdefault(runs.key[name], []).append(runs.verdict[name])
    return sum(max(Counter(group).values()) for group in groups.values())


def command(*words: str) -> None:
    """Run coopetition in a process of its own."""
    program = [sys.executable, "-c", "from coopetition_cli import main; main()"]
    subprocess.run([*program, *words], check=True)


def train_one(path: str) -> None:
    """Train one proposal, or continue it."""
    settings = Path(path)
    run = settings.parent / "runs" / settings.stem
    command("train", path, "-o", str(run), "--resume", "--quiet", "--device", "cpu")


def experiment(folder: Path, processes: int, budget: int) -> None:
    """Propose once, train what is missing, compare."""
    if not (folder / "proposals.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "base.yaml").write_text(BASE % budget, encoding="utf-8")
        moves = [word for move in MOVES for word in ("--move", move)]
        command("propose", "--settings", str(folder / "base.yaml"), "--budget", str(budget),
                "--count", "10", "--sure", "0.75", "--candidates", "300", *moves,
                "-o", str(folder), "--quiet")  # fmt: skip
    files = [str(path) for path in sorted(folder.glob("proposal-*.yaml"))]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
        list(pool.map(train_one, files))
    command("verify", str(folder), "--no-train")


def main() -> None:
    """Parse and run."""
    warnings.simplefilter("ignore", RuntimeWarning)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("outcomes").add_argument("--strict", action="store_true")
    trial = verbs.add_parser("experiment")
    trial.add_argument("folder", type=Path)
    trial.add_argument("--processes", type=int, default=2)
    trial.add_argument("--budget", type=int, default=1_600_000, help="sequences")
    arguments = parser.parse_args()
    if arguments.verb == "outcomes":
        outcomes(strict=arguments.strict)
    else:
        experiment(arguments.folder, arguments.processes, arguments.budget)


if __name__ == "__main__":
    main()
