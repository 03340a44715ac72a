"""Theories of a run: the toy models, their rivals, and extrapolations of a single curve.

`THEORIES` are calibrated on other runs as the toy models are; `EXTRAPOLATIONS` know the one curve
only.
"""

from collections.abc import Mapping

from .extrapolations import Extrapolation, GaussianProcess, LastValue, LogitLinear
from .kinetics import Kinetics
from .strengths import Logistics, LossComplexity, StrengthTheory

THEORIES: Mapping[str, StrengthTheory] = {
    theory.name: theory for theory in (Kinetics(), LossComplexity(), Logistics())
}
EXTRAPOLATIONS: tuple[Extrapolation, ...] = (LastValue(), LogitLinear(), GaussianProcess())

__all__ = [
    "EXTRAPOLATIONS",
    "THEORIES",
    "Extrapolation",
    "GaussianProcess",
    "Kinetics",
    "LastValue",
    "Logistics",
    "LogitLinear",
    "LossComplexity",
    "StrengthTheory",
]
