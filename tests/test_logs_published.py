"""The curves that ship with the package are the digitised ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coopetition.logs import published_runs, read_curves

SHARED = Path(__file__).parents[1] / "../shared/data/published"


def test_all_twenty_runs_can_be_read_without_anything_to_put_right():
    assert len(published_runs()) == 20
    for name in published_runs():
        (run,) = read_curves(f"published:{name}")
        assert run.run == name
        assert run.source["publication"] == "arXiv 2503.05631"
        assert run.source["figure"]
        assert len(run.source["sha256"]) == 64
        assert 0 < run.source["digitisation_error_max"] < 0.04
        assert not any(word in note for note in run.notes for word in ("dropped", "left out"))
        assert all(c.sem is not None and c.n is not None for c in run)


def test_settings_have_types():
    (mq,) = read_curves("published:mq")
    assert mq.settings["match_probability"] == 1
    assert (mq.settings["depth"], mq.settings["lr"]) == (2, 1e-5)
    assert (mq.settings["positions"], mq.settings["start"]) == ("learned", "scratch")


@pytest.mark.skipif(not SHARED.exists(), reason="shared/data is not here")
def test_shipped_files_equal_their_source():
    for name in published_runs():
        (run,) = read_curves(f"published:{name}")
        source = pd.read_csv(SHARED / "curves" / f"{name}.csv", dtype={"value": str})
        assert len(run.to_table()) == len(source)
        for (evaluator, metric), rows in source.groupby(["evaluator", "metric"]):
            np.testing.assert_array_equal(
                run.curve(evaluator, metric).values, rows["value"].map(float)
            )


def test_a_wrong_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'main'"):
        read_curves("published:mian")
    with pytest.raises(ValueError, match="columns cannot be given"):
        read_curves("published:main", columns="flip=a")
