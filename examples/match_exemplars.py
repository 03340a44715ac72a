"""The paper's section 7 re-derived: what would make ICL last? A map that never saw such a run says.

arXiv 2503.05631 found one setting in which in-context learning persists, matched exemplars, by
reading its toy model: mu1 = 0. Here the question goes to a map from settings to the toy model's
parameters, calibrated on the published runs without the matched one; what it proposes is compared
with that run (about 20 s on one core).

    python examples/match_exemplars.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from coopetition.curves.verdicts import verdict
from coopetition.forecasting import forecast_settings
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves
from coopetition.proposal import default_moves, propose
from coopetition.report.figures import plot_forecast, plot_frontier

BUDGET = 2e7  # sequences: the end of the paper's figure 1b

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="match-exemplars-"))
folder.mkdir(parents=True, exist_ok=True)
(main,), (matched,) = read_curves("published:main"), read_curves("published:mq")
unaware = default_map().without("mq")

moves = default_moves(main.settings, ["match_probability", "n_classes", "n_exemplars"])
found = propose(main.settings, unaware, budget=BUDGET, moves=moves, count=3, sure=0.6)
print(found.summary())
plot_frontier(found).figure.savefig(folder / "frontier.png")

predicted = forecast_settings(matched.settings, unaware, horizon=BUDGET)
measured = matched.curve("flip")
axes = plot_forecast(predicted, measured=matched)
axes.set_xlim(0, BUDGET / 1e6)
axes.figure.savefig(folder / "matched.png")
chance = predicted.verdict_probability["persistent"]
print(
    f"\nall exemplars matched: persistent with probability {chance:.2f}; the published run is "
    f"{verdict(matched, BUDGET)}, flip {measured.values[measured.sequences <= BUDGET][-1]:.2f}"
)
print(f"pictures are in {folder}")
