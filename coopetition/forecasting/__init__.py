"""From the part of a log seen so far to what will come: bands, landmarks, verdicts.

`forecast` is the verb, `forecast_settings` the same for a run that has not begun.
"""

from ..curves.outcomes import LandmarkForecast
from .discrepancy import Discrepancy
from .forecasts import forecast, forecast_settings
from .prior import ParameterPrior
from .result import Band, Forecast
from .theories.dynamical import ToyTheory, toy_theory
from .theories.theory import Theory, TheoryParameter, parameter_names

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
