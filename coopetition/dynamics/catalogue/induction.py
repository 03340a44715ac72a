"""Three interacting sub-circuits of one mechanism, the forming of an induction circuit.

L = ½⟨(a* ⊗ b* ⊗ c* − a ⊗ b ⊗ c)²⟩: nothing is learned until all three sub-circuits have partly
formed, then everything at once.

Reference: arXiv 2404.07129, section 5 (the model of three vectors).
"""

from ..model import Model, Strategy

INDUCTION = Model(
    name="induction",
    strategies=(Strategy("icl", ("a", "b", "c")),),
    dimensions={"a": 20, "b": 20, "c": 20},
    description="one mechanism of three sub-circuits: delay, then a sharp rise",
    reference="arXiv 2404.07129, section 5",
)
