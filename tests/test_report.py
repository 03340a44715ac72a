"""The report is one page that holds what it shows."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from fitted_curves import TRUTH, made_by, noisy

from coopetition.curves import Curve, Curves
from coopetition.errors import LogError
from coopetition.fitting import FitSettings, fit, write_fits
from coopetition.fitting.information import CONFIDENCE
from coopetition.landmarks import landmarks
from coopetition.logs import read_curves, write_curves
from coopetition.models import get
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


def test_what_cannot_be_read_is_said_before_anything_is_written(tmp_path: Path) -> None:
    broken = tmp_path / "fit.json"
    broken.write_text("{")
    with pytest.raises(LogError, match=r"cannot read .*fit\.json"):
        write_report(tmp_path / "report.html", [broken])
    with pytest.raises(ValueError, match="at least one path"):
        write_report(tmp_path / "report.html", [])
    assert not (tmp_path / "report.html").exists()
