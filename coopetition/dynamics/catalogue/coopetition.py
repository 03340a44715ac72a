"""The toy model of strategy coopetition, its two ablations, and the model with weight decay.

L = (L1 + mu1)(L2 + mu2) + alpha K with L1 from a ⊗ b ⊗ c (ICL), L2 from d ⊗ b ⊗ c (CIWL) and
K = ½⟨(a ⊗ d)²⟩. ICL and CIWL share b and c (cooperation) and pay for using a and d at once
(competition); the large n_d makes CIWL slow. With weight decay each vector has a rate of its own:
decay of the memorising sub-circuit (d) keeps ICL, that of the shared or copying ones does not.

Reference: arXiv 2503.05631, section 6 and Appendix C, whose settings are the defaults here; for
weight decay arXiv 2311.08360, section 5 (L2 regularisation).
"""

from ..model import Cost, Model, Strategy

_DEFAULTS = {"alpha": 0.1, "mu1": 0.1, "mu2": 0.0}

COOPETITION = Model(
    name="coopetition",
    strategies=(
        Strategy("icl", ("a", "b", "c"), floor="mu1"),
        Strategy("ciwl", ("d", "b", "c"), floor="mu2"),
    ),
    dimensions={"a": 20, "b": 20, "c": 20, "d": 160},
    costs=(Cost(("a", "d"), weight="alpha"),),
    parameters=_DEFAULTS,
    description="ICL and CIWL share two sub-circuits and compete for capacity",
    reference="arXiv 2503.05631, section 6",
)

COOPERATION = Model(
    name="cooperation",
    strategies=COOPETITION.strategies,
    dimensions=COOPETITION.dimensions,
    parameters={"mu1": 0.1, "mu2": 0.0},
    description="ablation: sub-circuits are shared, nothing competes",
    reference="ablation of arXiv 2503.05631, section 6 (alpha = 0)",
)

INDEPENDENT = Model(
    name="independent",
    strategies=(
        Strategy("icl", ("a", "b", "c"), floor="mu1"),
        Strategy("ciwl", ("d", "e", "f"), floor="mu2"),
    ),
    dimensions={"a": 20, "b": 20, "c": 20, "d": 160, "e": 20, "f": 20},
    costs=(Cost(("a", "d"), weight="alpha"),),
    parameters=_DEFAULTS,
    description="ablation: ICL and CIWL compete, but share no sub-circuit",
    reference="ablation of arXiv 2503.05631, section 6 (own copies of b and c)",
)

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
