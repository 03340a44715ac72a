"""Logs and damaged files as people really have them, where they lie beside the checkout."""

import shutil

import pytest
from conftest import SHARED_DATA

from coopetition import verdict
from coopetition.errors import LogError
from coopetition.logs import read_curves

CASES, HOSTILE = SHARED_DATA / "log_cases", SHARED_DATA / "hostile"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no shared/data/log_cases here")
STEPS = "sequences=step*32"
NAMED = "flip=eval/flip,icl=eval/icl,sequences=step*32"

READ = {
    "F01_two_runs_of_one_name/chart.csv": ("flip=* - eval/flip,sequences=Step*32", 3),
    "F02_late_row/log.csv": (STEPS, 1),
    "F04_lone_event_at_step_0/run": (STEPS, 1),
    "F07_dead_branch_averaged/log.csv": (STEPS, 1),
    "F09_folders_left_out/runs": (None, 2),
    "F10_one_error_missing/log.csv": (None, 1),
    "F11_parquet_index/log.parquet": (STEPS, 1),
    "F12_header_again/log.csv": (STEPS, 1),
    "F13_trainer_state/trainer_state.json": ("flip=eval_flip,icl=eval_icl,sequences=step*32", 1),
    "F14_long_table/log.csv": ("evaluator=tag,value=value,sequences=step*32", 1),
    "F17_json_list_by_name/log.json": (NAMED, 1),
    "F17_json_list_by_name/log.jsonl": (NAMED, 1),
    "F17_json_list_by_name/lines.json": (NAMED, 1),
    "F17_json_list_by_name/plain.json": (None, 1),
}
REFUSED = {
    "F05_seeds_below_each_other/log.csv": "--columns run=seed",
    "F08_losses_taken_for_per_cent/log.csv": "if it is a loss, say so: --columns icl/loss",
    "F15_no_global_step/run": r"all 61 events of \w+ have step 0",
    "F16_negative_error/log.csv": "none can be negative",
}


@pytest.mark.parametrize("case", READ)
def test_what_can_be_read_keeps_all_its_points(case):
    columns, count = READ[case]
    runs = read_curves(CASES / case, columns=columns)
    assert len({run.run for run in runs}) == count
    for run in runs:
        assert len(run.curve("flip")) == 61
        assert verdict(run) in ("transient", "persistent")


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_rightly_is_refused(case):
    with pytest.raises(LogError, match=REFUSED[case]):
        read_curves(CASES / case, columns=STEPS if case[:3] != "F16" else None)


def test_what_was_rolled_back_is_gone():
    (run,) = read_curves(CASES / "F07_dead_branch_averaged" / "log.csv", columns=STEPS)
    curve = run.curve("flip")
    assert dict(zip(curve.sequences, curve.values, strict=True))[22_000 * 32] == 0.6982


@pytest.mark.parametrize(
    "name", ["bomb.h5", "deepj.json", "jsonl_1_392_fail.jsonl", "tfevents_1_199_fail"]
)
def test_what_broke_a_parser_is_one_line(tmp_path, name):
    target = tmp_path / ("events.out.tfevents.1" if name.startswith("tf") else name)
    shutil.copy(HOSTILE / name, target)
    with pytest.raises(LogError, match=f"{target.name}"):
        read_curves(target)
