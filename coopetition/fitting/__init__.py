"""Fit toy models to measured curves, and say what the data determine.

`fit` is the verb; `compare`, `profile`, `sample_posterior` and `predict` take its result further,
`write_fits` and `read_fits` keep it.
"""

from .diagnostics import ResidualDiagnostics
from .information import FittedParameter
from .joint_fit import fit
from .measurements import Measurements, Target
from .parameters import Parameter
from .result import Fit
from .settings import FitSettings
from .starts import Optimum
from .symmetry import gauge, scaling_symmetries

__all__ = [
    "Fit",
    "FitSettings",
    "FittedParameter",
    "Measurements",
    "Optimum",
    "Parameter",
    "ResidualDiagnostics",
    "Target",
    "fit",
    "gauge",
    "scaling_symmetries",
]
