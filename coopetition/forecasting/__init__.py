"""Forecasts from settings, or the first part of a log: bands, landmarks, verdicts.

`observations` (what a log says) → `prior` (what settings say) → `forecasts` (draws given both, and
the verbs) → `paths` (predictive paths) → `reweighting` (corrected verdict probabilities) →
`result`. `settings_map` is learnt from many runs, each of them fitted by one of the `theories`;
`scores` measure forecasts.
"""

from ..curves.landmarks import LandmarkForecast
from .discrepancy import Discrepancy
from .forecasts import forecast, forecast_settings
from .prior import ParameterPrior
from .result import Band, Forecast
from .theories.theory import Theory, TheoryParameter, parameter_names
from .theories.toy_model import ToyTheory, toy_theory

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
