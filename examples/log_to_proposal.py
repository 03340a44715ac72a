"""From anybody's log to a proposal: a CSV as a dashboard exports it, and what was trained.

The table here has a dashboard's column names and steps instead of sequences (it is made of a small
run that ships with the package); with a log of your own, give its columns and settings instead. A
JSONL file works alike, and so does a folder of TensorBoard's event files, whose tags are columns
beside ``step``; where tensorboard is installed, one is written and read here too (about 15 s on one
core).

    python examples/log_to_proposal.py [FOLDER]
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

import pandas as pd

from coopetition.forecasting import forecast
from coopetition.forecasting.settings_map import small_map
from coopetition.logs import read_curves
from coopetition.proposal import default_moves, most_informative, propose, with_runs

RUN = "c4800-e20-s0.5-m0.4-lr0.0005"  # ICL comes and goes
BATCH = 16

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="log-to-proposal-"))
folder.mkdir(parents=True, exist_ok=True)
(original,) = read_curves(f"cpu:{RUN}")
table = pd.DataFrame({"trainer/step": original.curve("flip").sequences / BATCH})
for evaluator in ("train", "icl", "ciwl", "flip"):
    table[f"eval/{evaluator}_acc"] = 100 * original.curve(evaluator).values  # in percent
table.to_csv(folder / "export.csv", index=False)

columns = f"sequences=trainer/step*{BATCH}," + ",".join(
    f"{evaluator}=eval/{evaluator}_acc" for evaluator in ("train", "icl", "ciwl", "flip")
)
(log,) = read_curves(folder / "export.csv", columns=columns)
for note in log.notes:
    print(f"note: {note}")

if importlib.util.find_spec("tensorboard") is not None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "events")) as writer:
        for row in table.to_dict("records"):
            for name in table.columns[1:]:
                writer.add_scalar(name, row[name], int(row["trainer/step"]))
    in_events = columns.replace("trainer/step", "step")
    (same,) = read_curves(folder / "events", columns=in_events)
    apart = max(abs(same.curve(e).values - log.curve(e).values).max() for e in log.evaluators)
    print(f"TensorBoard's log of the same run: {same.evaluators}, at most {apart:.1g} apart")

settings = {name: value for name, value in original.settings.items() if name != "original"}
unaware = small_map().without(RUN)  # this very run is in the shipped map
begun = forecast(log, unaware, settings=settings, until=160_000, horizon=log.last_sequence)
print(begun.summary())

settings_map = with_runs(unaware, [original])
moves = default_moves(settings, ["match_probability", "n_classes", "spread"])
found = propose(settings, settings_map, budget=log.last_sequence, moves=moves, count=3, sure=0.7)
print(found.summary())
looked_at = [one.candidate for one in found.screened]
(best,) = most_informative(settings, looked_at, settings_map, budget=log.last_sequence, count=1)
print(f"to learn most, train {dict(best.candidate.changes)}: {best.gain:.2f} nats")
