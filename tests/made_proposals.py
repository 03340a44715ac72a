"""Proposals in a folder, and a trainer that makes runs of them in no time."""

import numpy as np

from coopetition.curves.curve import Curve, Curves
from coopetition.forecasting.settings_map import default_map
from coopetition.logs import read_curves, write_curves
from coopetition.proposal import default_moves, propose
from coopetition.proposal.proposals_folder import write_proposals
from coopetition.settings.training import TrainingSettings
from coopetition.settings.yaml_files import write_settings

BUDGET = 2e7
POINTS = 41


def proposals_in(folder):
    """Two proposals in a folder, and what was proposed."""
    (main,) = read_curves("published:main")
    base = dict(main.settings)
    moves = default_moves(base, ["match_probability"])
    found = propose(base, default_map(), budget=BUDGET, moves=moves, count=2, looked_at=8)
    write_proposals(found, folder, default_map(), TrainingSettings())
    return found


def runs_of(shapes, metric="in_context_acc"):
    """A trainer that writes curves of the given flips, one after the other."""
    left = list(shapes)

    def trainer(settings, run):
        flip = left.pop(0)
        x = np.linspace(0.0, BUDGET, POINTS)
        run.mkdir(parents=True)
        curves = {
            (name, metric): Curve(evaluator=name, metric=metric, sequences=x, values=values)
            for name, values in (("flip", flip(x / BUDGET)), ("train", 0.5 + 0.4 * x / BUDGET))
        }
        write_curves(run / "curves.csv", [Curves(run=settings.name, curves=curves)])
        write_settings(settings, run / "settings.yaml")

    return trainer


def lasting(u):
    return 0.5 + 0.4 * np.minimum(4 * u, 1)


def passing(u):
    return np.where(u < 0.3, 0.5 + u, np.maximum(0.8 - 1.2 * (u - 0.3), 0.05))
