"""The report is one page that holds what it shows."""

from __future__ import annotations

import base64
import html
import importlib.metadata
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fitted_curves import TRUTH, made_by, noisy
from made_proposals import lasting, passing, proposals_in, runs_of

from coopetition.curves.curve import Curve, Curves
from coopetition.curves.landmarks import landmarks
from coopetition.dynamics.catalogue import get
from coopetition.errors import CoopetitionError, LogError
from coopetition.files import sha256_of
from coopetition.fitting import FitSettings, fit, write_fits
from coopetition.fitting.information import CONFIDENCE
from coopetition.forecasting import forecast
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves, write_curves
from coopetition.proposal.verification import verify
from coopetition.report import report, write_report


def test_a_run_is_shown_with_its_landmarks_verdict_and_source() -> None:
    page = report(["published:ts3"])
    (curves,) = read_curves("published:ts3")
    crossover = landmarks(curves).crossover
    assert crossover is not None
    assert f"{crossover.value:,.0f}" in page
    assert "ICL is transient" in page
    assert str(curves.source["sha256"]) in page
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 1
    assert base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    # nothing is fetched from elsewhere
    assert not re.search(r'(src|href)="http', page)


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    grid = np.linspace(0, 1e6, 50)
    curve = Curve(evaluator="flip", metric="in_context_acc", sequences=grid, values=0.5 + 0 * grid)
    run = Curves(run="<script>x</script>", curves={("flip", "in_context_acc"): curve})
    page = report([write_curves(tmp_path / "log.csv", run)])
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_run_just_begun_is_shown_without_a_verdict(tmp_path: Path) -> None:
    (main,) = read_curves("published:main")
    first = main.until(main.curve("flip").sequences[0])
    page = report([write_curves(tmp_path / "begun.csv", first), "published:ts3"])
    assert f"{len(first)} curves to" in page
    assert "ICL is transient" in page  # the other run is told as ever


def test_intervals_of_fits_are_called_what_they_are(tmp_path: Path) -> None:
    curves = noisy(made_by(TRUTH, points=25), 0.01, seed=0)
    quick = FitSettings(starts=1, screened=64)
    path = write_fits(tmp_path / "fit.json", [fit(curves, get("coopetition"), settings=quick)])
    assert re.findall(r"(\d+) ?% interval", report([path])) == [f"{100 * CONFIDENCE:.0f}"]


def fitted(folder: Path, **entry: object) -> Path:
    """A file of one fit, with an entry of its own."""
    curves = noisy(made_by(TRUTH, points=25), 0.01, seed=0)
    quick = FitSettings(starts=1, screened=64)
    fits = [fit(curves, get("coopetition"), settings=quick)]
    return write_fits(folder / "fit.json", fits, entries=[entry])


def pictures(page: str) -> int:
    return page.count('src="data:image/png;base64,')


def test_forecasts_are_shown_with_odds_crossover_and_bands(tmp_path: Path) -> None:
    (main,) = read_curves("published:main")
    told = forecast(main, default_map(), until=5e6, horizon=2e7, draws=200)
    entry = {"basis": "population", "notes": ["a note"], **told.as_dict("elsewhere/bands.csv")}
    path = fitted(tmp_path, forecast=entry)
    without = report([path])
    assert pictures(without) == 1
    assert "predicted curves are not beside the fit" in without
    (tmp_path / "bands.csv").write_text(told.to_table().to_csv(index=False))
    page = report([path])
    assert pictures(page) == 2
    assert "at 20,000,000 sequences, from other runs" in page
    assert all(f"{name} {p:.2f}" in page for name, p in told.verdict_probability.items())
    crossover = told.landmarks["crossover"].median
    assert crossover is not None
    assert f"{crossover:,.0f}" in page
    assert "a note" in page
    assert sha256_of(tmp_path / "bands.csv") in page


def test_a_forecast_without_flip_is_shown_without_odds(tmp_path: Path) -> None:
    alone = {"basis": "own log", "horizon": 2e7, "verdict_probability": {}, "crossover": None}
    page = report([fitted(tmp_path, forecast={**alone, "curves": None, "notes": []})])
    assert "from this log alone: no verdict without flip" in page


def test_proposals_are_shown_before_and_after_they_are_verified(tmp_path: Path) -> None:
    proposals = proposals_in(tmp_path).proposals
    before = report([tmp_path])
    assert "not verified yet" in before
    assert pictures(before) == len(proposals)
    chances = (proposal.forecast.verdict_probability["persistent"] for proposal in proposals)
    assert all(f"persistent {chance:.2f}" in before for chance in chances)
    verified = verify(tmp_path, trainer=runs_of([lasting, passing]))
    after = report([tmp_path])
    assert f"{verified.score['hits']} of {verified.score['total']} verified came true" in after
    assert f"Brier score {verified.score['brier']:.3f}" in after
    assert after.count("grey: measured") == 2 * len(proposals)  # as words and for those who listen
    (tmp_path / "proposals.json").write_text(
        (tmp_path / "proposals.json").read_text().replace('"sure": 0.8', '"sure": 0.7')
    )
    with pytest.raises(CoopetitionError, match="changed after"):
        report([tmp_path])


def test_one_damaged_run_leaves_the_others_on_the_page(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    write_curves(tmp_path / "runs" / "good" / "curves.csv", read_curves("published:ts3"))
    (tmp_path / "runs" / "bad" / "curves.csv").write_text("run,evaluator,metric,sequences,value\n")
    output = tmp_path / "report.html"
    missing = write_report(output, [tmp_path / "runs", tmp_path / "none.csv", "published:mq"])
    assert len(missing) == 2
    page = html.unescape(output.read_text())
    assert all(line in page for line in missing)
    assert "Run ts3" in page
    assert "Run mq" in page
    assert str(tmp_path / "runs" / "bad") in missing[0]
    assert "no file" in missing[1]


def test_the_command_tells_what_it_leaves_out_and_takes_columns(tmp_path: Path) -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    log, output = tmp_path / "odd.csv", tmp_path / "report.html"
    log.write_text("step,acc\n0,0.5\n10,0.8\n20,0.9\n30,0.9\n")
    arguments = ["report", str(log), "published:mq", "-o", str(output)]
    partly = CliRunner().invoke(entry.load(), arguments)
    assert partly.exit_code == 1
    assert f"not shown: {log}" in partly.stderr
    assert "Run mq" in output.read_text()
    whole = CliRunner().invoke(
        entry.load(), [*arguments, "--columns", "flip=acc,sequences=step*32"]
    )
    assert whole.exit_code == 0, whole.output
    assert whole.stderr == ""
    assert "ICL is persistent at 960 sequences" in output.read_text()


def test_what_cannot_be_read_is_said_before_anything_is_written(tmp_path: Path) -> None:
    broken = tmp_path / "fit.json"
    broken.write_text("{")
    with pytest.raises(LogError, match=r"fit\.json is not JSON"):
        write_report(tmp_path / "report.html", [broken])
    with pytest.raises(ValueError, match="at least one path"):
        write_report(tmp_path / "report.html", [])
    assert not (tmp_path / "report.html").exists()


def test_one_path_needs_no_list(tmp_path: Path) -> None:
    write_report(tmp_path / "one.html", "published:ts3")
    write_report(tmp_path / "list.html", ["published:ts3"])
    one, several = ((tmp_path / f"{name}.html").read_text() for name in ("one", "list"))
    made = r"\d{4}-\d\d-\d\dT[^<]*"
    assert re.sub(made, "", one) == re.sub(made, "", several)
