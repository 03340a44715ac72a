"""Fit theories to the paper's main run, and find out what its curves do and do not determine.

Catalogue models and a smaller one declared here are fitted to the four accuracy curves of the main
run of arXiv 2503.05631 and compared. Then the toy model is looked at closely: what it becomes when
d never moves (CIWL is what the shared circuits do by themselves), what gains of its own for flip
bring, and which parameters the curves determine. (About 40 s on two cores.)

    python examples/fit_published.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from coopetition.dynamics.catalogue import get
from coopetition.dynamics.model import Cost, Model, Strategy
from coopetition.fitting import compare, fit, predict, profile, rank, scaling_symmetries
from coopetition.logs import read_curves
from coopetition.report.figures import fit_figure, plot_profile

STARTS = 6
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="fit-published-"))
folder.mkdir(parents=True, exist_ok=True)
(main,) = read_curves("published:main")

print("scalings that no curve can see, with targets at 1 and no dimension held:")
for scaling in scaling_symmetries(get("coopetition"), [f"S_{v}" for v in "abcd"]):
    print("  " + ", ".join(f"{name} ^ {power:g}" for name, power in scaling.items()))
print("so n_a = n_b = n_c costs no generality\n")

# one shared circuit instead of two
lean = Model(
    name="lean",
    strategies=(
        Strategy("icl", ("a", "b"), floor="mu1"),
        Strategy("ciwl", ("d", "b"), floor="mu2"),
    ),
    dimensions={"a": 20, "b": 20, "d": 160},
    costs=(Cost(("a", "d"), weight="alpha"),),
    parameters={"alpha": 0.1, "mu1": 0.1, "mu2": 0.0},
)
rivals = ("coopetition", "independent", "cooperation", lean)
table = compare(main, rivals, starts=STARTS, progress=True)
print(table.summary())

best = fit(main, starts=2 * STARTS, progress=True)
print(f"\n{best.summary()}\n")
# d at rest: its dimension, the inverse of its rate, is as good as infinite
resting = fit(main, starts=STARTS, fixed={"n_d": 1e12, "x_a": 1e-3}, progress=True)
separate = fit(main, starts=STARTS, separate_flip=True, progress=True)
print(rank([best, resting, separate]).summary())
print(f"with gains of its own for flip: rmse {dict(separate.rmse)}\n")

fit_figure(best, predict(best, main.last_sequence)).savefig(folder / "fit.png")
figure = Figure(figsize=(14, 3.5), layout="constrained")
for ax, name in zip(figure.subplots(1, 4), ("n_d", "x_a", "mu1", "gain_icl"), strict=True):
    found = profile(best, name, steps=8)
    print(found.summary())
    plot_profile(found, ax=ax)
figure.savefig(folder / "profiles.png")
print(f"\npictures are in {folder}")
