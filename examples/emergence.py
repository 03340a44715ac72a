"""In-context learning emerges: flip passes 0.75 within 200,000 sequences, in about a minute.

The preset `cpu-emergence` is the rise of figure 1b of arXiv 2503.05631, on Gaussian classes and
with a larger learning rate.

    python examples/emergence.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from coopetition.curves.landmarks import landmarks
from coopetition.report.figures import plot_curves
from coopetition.settings.presets import preset
from coopetition.train.loop import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="emergence-")) / "run"
(run,) = train(preset("cpu-emergence"), folder)

print(run.summary())
emergence = landmarks(run.curves).emergence
print("no emergence" if emergence is None else f"emergence at {emergence.value:,.0f} sequences")
plot_curves(run.curves).figure.savefig(folder / "curves.png")
