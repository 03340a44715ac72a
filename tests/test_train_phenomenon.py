"""The phenomenon itself, at fixed seeds: minutes of computing, run with ``-m slow``."""

import math
from pathlib import Path

import numpy as np
import pytest
from tolerances import STANDARD_ERRORS

from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import verdict
from coopetition.logs import read_curves
from coopetition.settings.presets import preset
from coopetition.train.evaluation.evaluators import standard
from coopetition.train.loop import train

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[1] / "../shared/data/reference_runs/matched"


def trained(settings, folder):
    (run,) = train(settings, folder, device="cpu", progress=False)
    return run


def test_in_context_learning_emerges(tmp_path):
    curves = trained(preset("cpu-emergence"), tmp_path / "run").curves
    flip = curves.curve("flip")
    assert flip.values[flip.sequences <= 200_000].max() >= 0.75
    assert landmarks(curves).emergence.value < 150_000


def test_in_context_learning_comes_and_goes(tmp_path):
    run = trained(preset("cpu-transient"), tmp_path / "run")
    marks = landmarks(run.curves)
    assert marks.peak_flip.value > 0.65
    assert marks.peak.value < marks.crossover.value < 240_000
    assert run.final()["flip"] < 0.45
    assert verdict(run.curves) == "transient"
    loss = run.curves.curve("train", "loss").values
    assert loss[-1] < loss[len(loss) // 2]  # and it goes while the loss still falls


def test_matched_exemplars_persist(tmp_path):
    run = trained(preset("cpu-persistent"), tmp_path / "run")
    assert verdict(run.curves) == "persistent"
    assert run.final()["flip"] > 0.65


def test_unmatched_exemplars_of_few_classes_never_show_it(tmp_path):
    run = trained(preset("cpu-never"), tmp_path / "run")
    assert verdict(run.curves) == "never"
    assert run.curves.curve("flip").values.max() < 0.55
    assert run.final()["ciwl"] > 0.9


def test_a_run_like_the_references_gives_curves_like_its(tmp_path):
    if not REFERENCE.exists():
        pytest.skip("the reference's run is not beside this checkout")
    theirs = read_curves(REFERENCE)[0]
    settings = preset("cpu-persistent")
    # its evaluators show matched exemplars as well
    matched = tuple(
        standard(name, settings).replace(name=f"matched_{name}", match_probability=1.0)
        for name in ("icl", "ciwl", "flip")
    )
    settings = settings.replace(evaluation=settings.evaluation.replace(extra=matched))
    ours = trained(settings, tmp_path / "run").curves
    for name in ("icl", "ciwl", "flip"):
        one, other = ours.curve(f"matched_{name}"), theirs.curve(name)
        # another network on other classes: ends agree within its evaluation's noise and 0.05
        error = math.sqrt(0.25 / 500)
        assert abs(one.values[-1] - other.values[-1]) < 0.05 + STANDARD_ERRORS * error, name
    emergence = [
        curve.sequences[np.argmax(curve.values >= 0.6)]
        for curve in (ours.curve("matched_flip"), theirs.curve("flip"))
    ]
    assert abs(emergence[0] / emergence[1] - 1) < 0.3
    before = ours.curve("train", "loss")
    theirs_before = theirs.curve("train", "loss")
    at = [32_000, 64_000]
    assert np.interp(at, before.sequences, before.values) == pytest.approx(
        np.interp(at, theirs_before.sequences, theirs_before.values), rel=0.05
    )
