"""Figure 5a and Appendix C of arXiv 2503.05631: the toy model alone makes ICL come and go.

Exact gradient descent of step 1 on the reduced model. Figure 5a shows one seed with mu1 = 0.1:
ICL's loss falls first, then rises again as CIWL takes over. Appendix C repeats it over seeds, and
with mu1 = 0 (query and context match exactly), where ICL stays. (About 10 s on one core.)

    python examples/figures_of_the_paper.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.descent import descend
from coopetition.dynamics.starts import random_start
from coopetition.report.figures import plot_losses, plot_phase
from coopetition.seeds import stream

SEEDS, STEPS = 12, 16000
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="paper-figures-"))
folder.mkdir(parents=True, exist_ok=True)
model = get("coopetition")


def run(seed: int, mu1: float):
    """Descent from the seed's start, standard normal vectors and targets."""
    start = random_start(model, stream(seed, "start"))
    return descend(
        model, parameters={"mu1": mu1}, start=start, until=STEPS, every=20, stop_below=1e-6
    )


figure = Figure(figsize=(10, 4), layout="constrained")
left, right = figure.subplots(1, 2)
plot_losses(run(0, 0.1), ax=left).set_title("figure 5a: mu1 = 0.1")
plot_phase([run(seed, 0.1) for seed in range(4)], ax=right)
right.set_title("the same as paths of strengths, four seeds")
figure.savefig(folder / "figure_5a.png", dpi=150)

for mu1, name in ((0.1, "seeds"), (0.0, "mu1_zero")):
    figure = Figure(figsize=(14, 9), layout="constrained")
    for seed, ax in enumerate(figure.subplots(3, 4).flat):
        trajectory = run(seed, mu1)
        stopped = "not stopped" if trajectory.stopped_at is None else trajectory.stopped_at
        plot_losses(trajectory, ax=ax, linewidth=1.0)
        ax.set_title(f"seed {seed}, mu1 = {mu1:g}, below 1e-6 at step {stopped}", fontsize="small")
        icl, ciwl = (float(trajectory.output(f"{s}_strength")[-1]) for s in ("icl", "ciwl"))
        print(f"seed {seed:2d}, mu1 = {mu1:g}: strengths at the end ICL {icl:.2f}, CIWL {ciwl:.2f}")
    figure.savefig(folder / f"appendix_c_{name}.png", dpi=150)
print(f"pictures are in {folder}")
