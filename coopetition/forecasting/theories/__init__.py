"""Theories of a run: the toy models, their rivals, and extrapolations of a single curve.

`THEORIES` are calibrated on other runs as the toy models are; `EXTRAPOLATIONS` know the one curve
only.
"""

from collections.abc import Mapping

from .extrapolation import Extrapolation
from .gaussian_process import GaussianProcess
from .kinetics import Kinetics
from .last_value import LastValue
from .logistics import Logistics
from .logit_linear import LogitLinear
from .loss_complexity import LossComplexity
from .strengths import StrengthTheory

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
