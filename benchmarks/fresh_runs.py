"""Runs at settings drawn at random, forecast by a map calibrated without them.

    coopetition train --settings benchmarks/fresh_runs.yaml --executor local -o FOLDER
    python benchmarks/fresh_runs.py FOLDER

Every finished run of FOLDER is predicted from its settings, and from the first quarter and half of
its log, by a map calibrated (minutes) on the small runs of other settings, and by baselines that
have the same runs to learn from. Once a sweep's runs are among the small ones this is no longer how
they were forecast before they were trained, but by as much knowledge.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from proposals import CLEAR, DRAWS, SHARES, VERDICTS, Predictor, Runs

from coopetition.curves.curve import Curves
from coopetition.forecasting import forecast, forecast_settings
from coopetition.forecasting.scores import brier, coverage
from coopetition.forecasting.settings_map import SettingsMap, calibrate, small_map
from coopetition.logs import read_curves, small_runs
from coopetition.settings.yaml_files import read_settings


def finished(folder: Path) -> dict[str, Curves]:
    """The runs that reached their budget, by name."""
    found = {}
    for place in sorted(path.parent for path in folder.glob("*/settings.yaml")):
        if (place / "curves.csv").exists():
            (curves,) = read_curves(place)
            if curves.last_sequence >= read_settings(place / "settings.yaml").run.sequences:
                found[place.name] = curves
    return found


def unaware(fresh: Mapping[str, Curves]) -> SettingsMap:
    """A map of the small runs whose settings are none of these, made without any of these."""
    runs = Runs(fresh)
    strange = {runs.key[name] for name in fresh}
    learnt = [name for name in small_runs() if runs.key[name] not in strange]
    first = {run.run: run.optimum for run in small_map().runs}  # saves time, nothing else
    return calibrate([runs.curves[name] for name in learnt], first=first)


def held(
    fresh: Mapping[str, Curves], settings_map: SettingsMap, share: float
) -> Mapping[str, float]:
    """Share of the accuracies measured after a share of the log that lie in their 90 % bands.

    By evaluator, and of all together.
    """
    inside: dict[str, list[float]] = {}
    for curves in fresh.values():
        end = curves.last_sequence
        told = (
            forecast(curves, settings_map, horizon=end, until=share * end, draws=DRAWS)
            if share
            else forecast_settings(curves.settings, settings_map, horizon=end, draws=DRAWS)
        )
        for name, band in told.bands.items():
            measured = curves.curve(name)
            later = measured.sequences > share * end
            x = measured.sequences[later]
            low, high = (np.interp(x, told.sequences, edge) for edge in (band.lower, band.upper))
            inside.setdefault(name, []).append(coverage(low, high, measured.values[later]))
    means = {name: float(np.mean(shares)) for name, shares in inside.items()}
    return {**means, "all": float(np.mean(list(means.values())))}


def main() -> None:
    """Parse, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    fresh = finished(parser.parse_args().folder)
    settings_map = unaware(fresh)
    runs = Runs(fresh)
    predictors: dict[str, Predictor] = {
        "majority": runs.majority,
        "nearest setting": runs.nearest,
        "logistic regression": runs.regression,
        "map": runs.by_map(settings_map, strict=False, theory="coopetition"),
    }
    for share in SHARES:
        predictors[f"map, {100 * share:.0f} % of the log"] = runs.by_log(settings_map, share)
    known = [run.run for run in settings_map.runs]
    chances = {
        method: {
            name: predict([one for one in known if runs.key[one] != runs.key[name]], name)
            for name in fresh
        }
        for method, predict in predictors.items()
    }
    write = sys.stdout.write
    write(f"| run | measured | flip: peak, final | {' | '.join(chances)} |\n")
    write("|---" * (len(chances) + 3) + "|\n")
    for name, curves in fresh.items():
        flip = curves.curve("flip").values
        said = []
        for told in chances.values():
            best = max(VERDICTS, key=lambda v: told[name][v])
            said.append(f"{best} {told[name][best]:.2f}")
        write(f"| {name} | {runs.verdict[name]} | {max(flip):.2f}, {flip[-1]:.2f} | "
              f"{' | '.join(said)} |\n")  # fmt: skip
    write("\n| method | right | right where clear | Brier (0–2) |\n|---|---|---|---|\n")
    clear = [name for name, curves in fresh.items()
             if not CLEAR[0] <= curves.curve("flip").values[-1] <= CLEAR[1]]  # fmt: skip
    for method, told in chances.items():
        right = {n for n in fresh if max(VERDICTS, key=lambda v: told[n][v]) == runs.verdict[n]}
        total = np.mean([brier(told[name], runs.verdict[name]) for name in fresh])
        write(f"| {method} | {len(right)}/{len(fresh)} | {len(right & set(clear))}/{len(clear)} | "
              f"{total:.3f} |\n")  # fmt: skip
    for share in (0.0, *SHARES):
        told = ", ".join(
            f"{name} {100 * x:.0f}" for name, x in held(fresh, settings_map, share).items()
        )
        write(f"90 % bands from {100 * share:.0f} % of the log hold, in %: {told}\n")


if __name__ == "__main__":
    main()
