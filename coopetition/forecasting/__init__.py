"""From settings, or the first part of a log, to what will come: bands, landmarks, verdicts.

`observations` (what a log says) → `prior` (what settings say) → `posterior` (draws given both) →
`paths` (predictive paths) → `reweighting` (corrected verdict probabilities) → `forecasts` (the
verbs) → `result`. `settings_map` is learnt from many runs, each of them fitted by one of the
`theories`; `scores` say how good a forecast was.
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
