"""ICL, CIWL and pure in-weights learning together.

IWL recalls the label without the context, so of the other strategies' vectors it shares only c;
its vector e is the slowest, since it must tell all labels apart. All strategies compete for
capacity. With the defaults ICL emerges first, then CIWL, and by a time of 64,000 IWL has displaced
both for most starts.

Reference: arXiv 2503.05631, section 6, extended by the third strategy of its section 2.
"""

from ..model import Cost, Model, Strategy

THREE_STRATEGIES = Model(
    name="three-strategies",
    strategies=(
        Strategy("icl", ("a", "b", "c"), floor="mu1"),
        Strategy("ciwl", ("d", "b", "c"), floor="mu2"),
        Strategy("iwl", ("e", "c"), floor="mu3"),
    ),
    dimensions={"a": 20, "b": 20, "c": 20, "d": 160, "e": 1280},
    costs=(
        Cost(("a", "d"), weight="alpha"),
        Cost(("a", "e"), weight="alpha"),
        Cost(("d", "e"), weight="alpha"),
    ),
    parameters={"alpha": 0.3, "mu1": 0.3, "mu2": 0.05, "mu3": 0.0},
    description="ICL, CIWL and pure IWL, each competing with each",
    reference="extension of arXiv 2503.05631, section 6",
)
