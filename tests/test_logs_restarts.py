"""Rows in any order: what restarts replaced is gone, and nothing else is."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import FLOAT64

from coopetition.errors import LogError
from coopetition.logs import read_curves

N = 61
STEPS = np.arange(N) * 32_000.0
NOISE = 0.01
FREE = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)


def log(seed=0, *, emergence=15.0, fading=45.0):
    """A run in which ICL emerges and fades, with the noise of an evaluation."""
    rng = np.random.default_rng(seed)
    k = np.arange(N)
    rise = 1 / (1 + np.exp(-(k - emergence) / 2.0))
    fall = 1 / (1 + np.exp((k - fading) / 4.0))
    curves = {"icl": 0.5 + 0.4 * rise, "flip": 0.5 + 0.4 * rise - 0.8 * rise * (1 - fall)}
    noisy = {name: np.clip(v + NOISE * rng.standard_normal(N), 0, 1) for name, v in curves.items()}
    return pd.DataFrame({"sequences": STEPS, **{k: v.round(4) for k, v in noisy.items()}})


def tidy(table):
    """The table curve by curve, as our own trainer's are evaluation by evaluation."""
    long = table.melt("sequences", var_name="evaluator", ignore_index=False)
    long.insert(0, "run", "r")
    long.insert(2, "metric", "in_context_acc")
    return long


def read(tmp_path, table, **options):
    table.to_csv(tmp_path / "log.csv", index=False)
    (run,) = read_curves(tmp_path / "log.csv", **options)
    return run


def values(run, name="flip"):
    curve = run.curve(name)
    return dict(zip(curve.sequences, curve.values, strict=True))


def same(run, table):
    return all(
        values(run, name) == dict(zip(table["sequences"], table[name], strict=True))
        for name in ("icl", "flip")
    )


FORMS = {
    "wide": lambda table: table,
    "curve by curve": lambda table: tidy(table),
    "evaluation by evaluation": lambda table: tidy(table).sort_index(kind="stable"),
}


@pytest.mark.parametrize("form", FORMS)
@FREE
@given(seed=seeds, repeated=st.integers(0, 5))
def test_rows_in_any_order_and_repeated_are_the_log(tmp_path, form, seed, repeated):
    table, rng = log(seed % 7), np.random.default_rng(seed)
    again = table.iloc[rng.choice(N, repeated, replace=False)]
    mixed = pd.concat([table, again]).sample(frac=1, random_state=seed).reset_index(drop=True)
    assert same(read(tmp_path, FORMS[form](mixed)), table)


@FREE
@given(place=st.integers(1, N - 2), later=st.integers(1, N - 1))
def test_a_row_that_comes_late_is_put_in_its_place(tmp_path, place, later):
    table = log()
    moved = table.drop(index=place)
    after = min(place + later, N - 1)
    late = pd.concat([moved.loc[: after - 1], table.loc[[place]], moved.loc[after:]])
    assert same(read(tmp_path, late), table)


@pytest.mark.parametrize("form", FORMS)
@FREE
@given(back=st.integers(12, N - 12), lost=st.integers(2, 10))
def test_after_a_roll_back_the_dead_branch_is_gone_from_every_curve(tmp_path, form, back, lost):
    table = log()
    dead = table.loc[back : back + lost - 1].copy()
    dead[["icl", "flip"]] = (dead[["icl", "flip"]] + 0.31) % 1
    rows = pd.concat([table.loc[: back - 1], dead, table.loc[back:]]).reset_index(drop=True)
    run = read(tmp_path, FORMS[form](rows))
    assert same(run, table)
    assert any("restarted at" in note for note in run.notes)


@FREE
@given(back=st.integers(12, N - 12), lost=st.integers(1, 6))
def test_a_dead_branch_is_gone_from_curves_logged_at_other_points_too(tmp_path, back, lost):
    table = log()
    fine = pd.DataFrame({"sequences": np.arange(4 * N) * 8_000.0})
    fine["train"] = np.linspace(0.5, 0.95, 4 * N)
    rows = fine.merge(table, on="sequences", how="left")
    first, last = 4 * back - 2, 4 * (back + lost)  # rolled back to between two evaluations
    dead = rows.loc[first:last].copy()
    dead[["icl", "flip"]] = (dead[["icl", "flip"]] + 0.31) % 1
    dead["train"] -= 0.3
    mixed = pd.concat([rows.loc[: first - 1], dead, rows.loc[first:]])
    run = read(tmp_path, mixed)
    assert values(run) == dict(zip(table["sequences"], table["flip"], strict=True))
    assert len(run.curve("train")) == 4 * N


@FREE
@given(seed=seeds, every=st.integers(5, 12))
def test_checkpoints_evaluated_again_cut_nothing(tmp_path, seed, every):
    table = log()
    rng = np.random.default_rng(seed)
    again = table.iloc[::every][:-1].copy()
    again[["icl", "flip"]] += NOISE * rng.standard_normal((len(again), 2))
    run = read(tmp_path, pd.concat([table, again.clip(lower=0)]))
    assert run.last_sequence == STEPS[-1]
    assert len(run.curve("flip")) == N
    gaps = [abs(values(run)[s] - v) for s, v in zip(STEPS, table["flip"], strict=True)]
    assert max(gaps) < 3 * NOISE


@FREE
@given(at=st.integers(0, N - 3), value=st.sampled_from([0.0, 1.0]))
def test_one_stray_row_supersedes_no_log(tmp_path, at, value):
    table = log()
    stray = pd.DataFrame({"sequences": [STEPS[at]], "icl": [value], "flip": [value]})
    run = read(tmp_path, pd.concat([table, stray]))
    assert run.last_sequence == STEPS[-1]
    assert len(run.curve("flip")) == N
    gap = abs(values(run)[STEPS[at]] - table["flip"][at])
    assert gap <= (abs(value - table["flip"][at]) / 2 if gap else 0)


OTHER = log(1, emergence=25.0, fading=80.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["below", "interleaved", "shuffled", "cut"])
def test_several_runs_in_a_table_are_refused_with_what_tells_them_apart(tmp_path, form, how):
    runs = [FORMS[form](log()).assign(seed=0), FORMS[form](OTHER).assign(seed=1)]
    if how == "cut":
        runs[1] = runs[1][runs[1]["sequences"] < STEPS[40]]
    table = pd.concat(runs)
    if how == "interleaved":
        table = table.sort_values("sequences", kind="stable")
    if how == "shuffled":
        table = table.sample(frac=1, random_state=0)
    with pytest.raises(LogError, match="--columns run=seed"):
        read(tmp_path, table)
    table.to_csv(tmp_path / "log.csv", index=False)
    columns = "run=seed,sequences=sequences"
    if form != "wide":
        columns += ",evaluator=evaluator,metric=metric,value=value"
    runs = read_curves(tmp_path / "log.csv", columns=columns)
    one, other = sorted(runs, key=lambda run: run.run)
    assert same(one, log())
    assert len(other.curve("flip")) == (N if how != "cut" else 40)


def test_runs_of_one_length_are_refused_without_a_column_too(tmp_path):
    with pytest.raises(LogError, match=r"rows begin anew at 0 .* --columns run=seed"):
        read(tmp_path, pd.concat([log(), OTHER]))


def test_a_column_that_counts_restarts_tells_no_runs_apart(tmp_path):
    table = log()
    dead = table.loc[40:44].assign(flip=0.99, icl=0.99)
    parts = [table.loc[:39], dead, table.loc[40:]]
    rows = pd.concat([p.assign(attempt=a) for p, a in zip(parts, (0, 0, 1), strict=True)])
    run = read(tmp_path, rows)
    assert same(run, table)


def test_values_that_contradict_each_other_are_averaged_within_their_errors_alone(tmp_path):
    table = tidy(log()).assign(sem=0.005)
    near, far = table.iloc[[N + 30]].copy(), table.iloc[[N + 30]].copy()
    near["value"] += 0.01
    far["value"] -= 0.04
    ordered = pd.concat([table, near]).sort_values(["evaluator", "sequences"], kind="stable")
    run = read(tmp_path, ordered)
    assert values(run)[STEPS[30]] == pytest.approx(log()["flip"][30] + 0.005, abs=FLOAT64)
    shuffled = pd.concat([table, far]).sample(frac=1, random_state=1)
    with pytest.raises(LogError, match=r"is both .* further apart than their errors"):
        read(tmp_path, shuffled)


def test_a_log_that_is_cut_short_anywhere_reads_as_far_as_it_goes(tmp_path):
    text = log().to_csv(index=False)
    path = tmp_path / "log.csv"
    for length in range(len(text) // 2, len(text), 7):
        path.write_text(text[:length])
        (run,) = read_curves(path)
        for s, v in list(values(run).items())[:-1]:
            assert v == log()["flip"][int(s // 32_000)]
