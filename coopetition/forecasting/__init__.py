"""From the part of a log seen so far to what will come: bands, landmarks, verdicts.

`forecast` is the verb, `forecast_settings` the same for a run that has not begun.
"""

from ..outcomes import LandmarkForecast
from .discrepancy import Discrepancy
from .prior import ParameterPrior
from .result import Band, Forecast
from .theory import Theory, TheoryParameter, parameter_names
from .toy_theory import ToyTheory, toy_theory
from .verbs import forecast, forecast_settings

__all__ = [
    "Band",
    "Discrepancy",
    "Forecast",
    "LandmarkForecast",
    "ParameterPrior",
    "Theory",
    "TheoryParameter",
    "ToyTheory",
    "forecast",
    "forecast_settings",
    "parameter_names",
    "toy_theory",
]
