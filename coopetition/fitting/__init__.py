"""Fit toy models to measured curves, and say what the data determine.

`fit` is the verb; `compare`, `profile`, `predict` and `sample_posterior` take its result further,
`write_fits` and `read_fits` keep it.
"""

from .comparison import Comparison, compare, rank
from .fit_files import holds_fits, read_fits, write_fits
from .information import FittedParameter
from .joint_fit import Fit, fit
from .measurements import Measurements, Target
from .multistart import Optimum
from .parameters import FitSettings, Parameter
from .posterior import Posterior, sample_posterior
from .prediction import Prediction, predict
from .profiles import Profile, profile
from .residuals import ResidualDiagnostics
from .symmetry import gauge, scaling_symmetries

__all__ = [
    "Comparison",
    "Fit",
    "FitSettings",
    "FittedParameter",
    "Measurements",
    "Optimum",
    "Parameter",
    "Posterior",
    "Prediction",
    "Profile",
    "ResidualDiagnostics",
    "Target",
    "compare",
    "fit",
    "gauge",
    "holds_fits",
    "predict",
    "profile",
    "rank",
    "read_fits",
    "sample_posterior",
    "scaling_symmetries",
    "write_fits",
]
