"""Other ways to forecast a run, so that the toy model can be seen to win or lose.

Theories (`kinetics`, `loss-complexity`, `logistics`) are calibrated on other runs as the toy models
are; extrapolations (last value, logit-linear, Gaussian process) know the one curve only.
"""

from .extrapolation import Extrapolation
from .gaussian_process import GaussianProcess
from .kinetics import Kinetics
from .last_value import LastValue
from .logistics import Logistics
from .logit_linear import LogitLinear
from .loss_complexity import LossComplexity
from .strengths import StrengthTheory

THEORIES: tuple[StrengthTheory, ...] = (Kinetics(), LossComplexity(), Logistics())
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
