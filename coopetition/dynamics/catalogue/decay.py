"""Coopetition with weight decay on each sub-circuit.

Each vector has a decay rate of its own, because *which* circuit decays decides whether ICL lasts:
decay on the memorising circuit (d) keeps ICL, on the shared or the copying ones it does not.

Reference: arXiv 2311.08360, section 5 (L2 regularisation), on the model of arXiv 2503.05631.
"""

from ..model import Model
from .coopetition import COOPETITION

DECAY = Model(
    name="decay",
    strategies=COOPETITION.strategies,
    dimensions=COOPETITION.dimensions,
    costs=COOPETITION.costs,
    parameters={**COOPETITION.parameters, **{f"decay_{v}": 1e-4 for v in COOPETITION.vectors}},
    decay={vector: f"decay_{vector}" for vector in COOPETITION.vectors},
    description="coopetition with weight decay on each sub-circuit",
    reference="arXiv 2311.08360, section 5; arXiv 2503.05631, section 6",
)
