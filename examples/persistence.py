"""Matched exemplars keep in-context learning: two runs that differ in one number, as one ensemble.

Where the copy in context repeats the query's very exemplar, flip stays near 0.75; where it is
another exemplar of the same class, in-context learning never comes (figure 6a of arXiv 2503.05631,
on Gaussian classes; about 40 s on one core).

    python examples/persistence.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from coopetition.curves.verdicts import verdict
from coopetition.report.figures import plot_curves
from coopetition.settings.presets import preset
from coopetition.train.loop import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="persistence-"))
runs = train([preset("cpu-persistent"), preset("cpu-never")], folder / "runs")

for run in runs:
    flip = run.curves.curve("flip")
    print(f"\n{run.settings.name} ({run.settings.source}): {verdict(run.curves)}")
    print("sequences   flip    icl   ciwl")
    rows = zip(
        flip.sequences,
        flip.values,
        run.curves.curve("icl").values,
        run.curves.curve("ciwl").values,
        strict=True,
    )
    for sequences, *accuracies in list(rows)[::4]:
        print(f"{sequences:9,.0f}  " + "  ".join(f"{accuracy:.3f}" for accuracy in accuracies))
    plot_curves(run.curves).figure.savefig(run.folder / "curves.png")
print(f"\neverything is in {folder}")
