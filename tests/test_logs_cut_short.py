"""Tables whose last line was cut short: what is read was written."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import FIFTH_DECIMAL

from coopetition.logs import read_curves

POINTS = 12
SEQUENCES = np.arange(POINTS) * 100.0


def text_of(icl, tidily):
    """Two curves as a CSV file, a row a value or a row an evaluation."""
    table = pd.DataFrame(
        {"sequences": SEQUENCES, "flip": np.linspace(0.5, 0.9, POINTS), "icl": icl}
    )
    if tidily:
        table = table.melt("sequences", var_name="evaluator").assign(metric="in_context_acc")
        table = table[["evaluator", "metric", "sequences", "value"]]
    return table.to_csv(index=False)


@given(cut=st.floats(0, 1), places=st.integers(1, 17), tidily=st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_csv_cut_anywhere_says_nothing_false(tmp_path, cut, places, tidily):
    icl = np.round(0.5 + np.random.default_rng(places).random(POINTS) / 2, places)
    text = text_of(icl, tidily)
    (tmp_path / "log.csv").write_text(text)
    (whole,) = read_curves(tmp_path / "log.csv")
    seen = len("".join(text.splitlines(keepends=True)[:10]))  # how the columns are written
    kept = text[: seen + round(cut * (len(text) - seen))]
    (tmp_path / "log.csv").write_text(kept)
    (run,) = read_curves(tmp_path / "log.csv")
    for key, curve in run.curves.items():
        both = np.isin(whole.curves[key].sequences, curve.sequences)
        assert np.isin(curve.sequences, SEQUENCES).all()
        np.testing.assert_allclose(curve.values, whole.curves[key].values[both], atol=FIFTH_DECIMAL)
    lines = kept.count("\n") - 1  # that are certainly whole
    assert sum(map(len, run)) / (1 if tidily else 2) >= lines


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        ("1900,0.8300,0.8301", True),  # four decimals: no digit after them matters
        ("1900,0.8300,0.", False),
        ("1900,0.8300", False),
        ("1900,0.8300,0.83", False),
        ('1900,0.8300,"0.83"', True),
        ('1900,0.8300,"0.83', False),
        ("1900,0.8300,8e-01", True),
        ("1900,0.8300,8e-", False),
    ],
)
def test_a_last_line_without_an_end_counts_if_it_is_whole(tmp_path, last, kept):
    rows = [f"{s},0.7000,0.{7000 + s // 100}" for s in range(0, 1900, 100)]
    (tmp_path / "log.csv").write_text("\n".join(["sequences,icl,flip", *rows, last]))
    (run,) = read_curves(tmp_path / "log.csv")
    assert len(run.curve("flip")) == len(run.curve("icl")) == 19 + kept
    assert any("no line end" in note for note in run.notes) != kept
