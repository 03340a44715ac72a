"""Forecasts of every published run by maps calibrated without it, against rivals and baselines.

    python benchmarks/forecast.py [--theory NAME]... [--run NAME]... [--leave-out settings]
                                  [--processes N] [-o FOLDER]

Each method forecasts each run to 2e7 sequences from its settings alone, from the first 10, 25, 30
and 50 % of the log, and from 1e6 sequences after the flip peak (or 30 %, whichever is later; only
where the crossover is still to come). Theories are calibrated on all other runs, or with
``--leave-out settings`` on all runs of other settings (four of the runs differ in their seeds
alone); extrapolations see the run's own flip curve only. Writes scores.csv (every forecast) and
table.md (medians and means, then each method against the toy model run by run).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import functools
import os
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

from forecast_cases import (
    HORIZON,
    LEFT_OUT,
    Score,
    cuts_of,
    frequencies,
    nearest_outcome,
    others_of,
    score_extrapolation,
    score_forecast,
    score_verdict,
    truth_of,
    usable_runs,
)

from coopetition.forecasting import forecast
from coopetition.forecasting.settings_map import SettingsMap, calibrate
from coopetition.forecasting.theories import EXTRAPOLATIONS, THEORIES

TOYS = ("coopetition", "independent", "cooperation")
NAMES = (*TOYS, *THEORIES)
LOG = 4e7  # sequences of a log that maps are calibrated on
ORDER = ("0%", "10%", "25%", "30%", "50%", "after peak")  # of the cuts
OURS = "coopetition"


@functools.cache
def everything() -> tuple[dict, dict]:
    """Runs and truths, once a process."""
    runs = usable_runs()
    return runs, {name: truth_of(curves) for name, curves in runs.items()}


def first_optima(name: str) -> tuple[str, dict[str, list[float]]]:
    """Optima of all runs together: where the fits of each fold start from, to save time."""
    runs, _ = everything()
    settings_map: SettingsMap = calibrate(runs.values(), theory=THEORIES.get(name, name), until=LOG)
    return name, {run.run: run.optimum.tolist() for run in settings_map.runs}


def forecasts(task: tuple[str, str, str, dict[str, list[float]]]) -> list[Score]:
    """All forecasts of one run by one theory calibrated without it."""
    name, run, left_out, first = task
    runs, truths = everything()
    others = [runs[other] for other in others_of(run, runs, left_out)]
    settings_map = calibrate(others, theory=THEORIES.get(name, name), until=LOG, first=first)
    return [
        score_forecast(
            name,
            cut,
            forecast(runs[run], settings_map, until=until, horizon=HORIZON),
            runs[run],
            truths[run],
        )
        for cut, until in cuts_of(runs[run], truths[run]).items()
    ]


def baselines(names: list[str], left_out: str) -> list[Score]:
    """Extrapolations of the flip curve, and guesses of the verdict from settings."""
    runs, truths = everything()
    found = []
    for run in names:
        truth = truths[run]
        for cut, until in cuts_of(runs[run], truth).items():
            for method in EXTRAPOLATIONS if until else ():
                began = time.perf_counter()
                score = score_extrapolation(method, cut, until, runs[run], truth, 0.0)
                if score is not None:
                    seconds = time.perf_counter() - began
                    found.append(dataclasses.replace(score, seconds=seconds))
        others = others_of(run, runs, left_out)
        shares = frequencies(others, truths)
        majority = max(shares, key=shares.__getitem__)
        nearest = nearest_outcome(run, others, runs, truths)
        found.append(score_verdict("frequencies", run, shares, truth))
        for method, guess in (("majority", majority), ("nearest setting", nearest)):
            sure = {name: float(name == guess) for name in shares}
            found.append(score_verdict(method, run, sure, truth))
    return found


def table(scores: list[Score]) -> str:
    """Scores by cut and method as a Markdown table."""
    lines = [
        "| cut | method | runs | verdict right | Brier (0–2) | flip RMSE, median | flip RMSE, mean "
        "| 90 % coverage | interval score | crossover error, median (of) | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    methods = list(dict.fromkeys(score.method for score in scores))
    for cut in ORDER:
        for method in methods:
            own = [s for s in scores if s.cut == cut and s.method == method]
            if not own:
                continue
            errors = [s.crossover_error for s in own if s.crossover_error is not None]
            middle = np.median(errors) if errors else np.nan
            error = f"{middle:.0%}" if np.isfinite(middle) else "beyond"
            crossing = f"{error} ({len(errors)})" if errors else "–"
            cells = [
                cut, method, str(len(own)), f"{np.mean([s.right for s in own]):.0%}",
                f"{np.mean([s.brier for s in own]):.3f}",
            ]  # fmt: skip
            if np.isfinite(own[0].rmse):
                rmse = [s.rmse for s in own]
                cells += [
                    f"{np.median(rmse):.3f}", f"{np.mean(rmse):.3f}",
                    f"{np.mean([s.coverage for s in own]):.0%}",
                    f"{np.mean([s.interval for s in own]):.2f}",
                ]  # fmt: skip
            else:
                cells += ["–"] * 4
            cells += [crossing, f"{np.mean([s.seconds for s in own]):.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def paired(scores: list[Score]) -> str:
    """How much larger each method's flip error is than the toy model's on the same run and cut.

    The median difference over the runs, and on how many of them the toy model's is smaller.
    """
    errors = {(s.method, s.cut, s.run): s.rmse for s in scores if np.isfinite(s.rmse)}
    methods = [m for m in dict.fromkeys(method for method, _, _ in errors) if m != OURS]
    lines = [f"| flip RMSE less {OURS}'s | {' | '.join(ORDER)} |", "|---" * (len(ORDER) + 1) + "|"]
    for method in methods:
        cells = []
        for cut in ORDER:
            more = np.array(
                [
                    error - errors[OURS, cut, run]
                    for (other, at, run), error in errors.items()
                    if (other, at) == (method, cut) and (OURS, cut, run) in errors
                ]
            )
            if not len(more):
                cells.append("–")
                continue
            cells.append(f"{np.median(more):+.4f} ({np.sum(more > 0)} of {len(more)})")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theory", action="append", choices=NAMES)
    parser.add_argument("--run", action="append", choices=list(everything()[0]))
    parser.add_argument("--leave-out", choices=LEFT_OUT, default=LEFT_OUT[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("forecast_scores"))
    chosen = parser.parse_args()
    names = chosen.run or list(everything()[0])
    scores: list[Score] = []
    with concurrent.futures.ProcessPoolExecutor(chosen.processes) as pool:
        firsts = dict(pool.map(first_optima, chosen.theory or NAMES))
        tasks = [(t, run, chosen.leave_out, first) for t, first in firsts.items() for run in names]
        for found in pool.map(forecasts, tasks):
            scores += found
            print(f"{found[0].method}: {found[0].run}", file=sys.stderr, flush=True)
    scores += baselines(names, chosen.leave_out)
    chosen.output.mkdir(parents=True, exist_ok=True)
    import pandas as pd

    pd.DataFrame([dataclasses.asdict(s) for s in scores]).to_csv(
        chosen.output / "scores.csv", index=False
    )
    told = f"{table(scores)}\n{paired(scores)}"
    (chosen.output / "table.md").write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
