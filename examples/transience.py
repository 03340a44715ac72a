"""In-context learning comes and goes while the loss keeps falling, in half a minute on one core.

The preset `cpu-transient`: flip passes 0.6 near 45,000 sequences, peaks near 0.8 and falls through
0.5 near 200,000 (figure 1b of arXiv 2503.05631 in small).

    python examples/transience.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from coopetition.curves.landmarks import landmarks
from coopetition.curves.verdicts import verdict
from coopetition.report.figures import plot_curves
from coopetition.settings.presets import preset
from coopetition.train.loop import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="transience-")) / "run"
(run,) = train(preset("cpu-transient"), folder)

loss, flip, icl, ciwl = (
    run.curves.curve("train", "loss"),
    *(run.curves.curve(name) for name in ("flip", "icl", "ciwl")),
)
print("sequences    loss   flip    icl   ciwl")
for row in zip(loss.sequences, loss.values, flip.values, icl.values, ciwl.values, strict=True):
    print("{:9,.0f}  {:6.3f}  {:.3f}  {:.3f}  {:.3f}".format(*row))
found = landmarks(run.curves)
for name in ("emergence", "peak", "crossover"):
    mark = getattr(found, name)
    print(f"{name:<10} {mark.value:9,.0f} sequences" if mark else f"{name:<10} none")
plot_curves(run.curves).figure.savefig(folder / "curves.png")
print(f"{verdict(run.curves)}; everything is in {folder}")
