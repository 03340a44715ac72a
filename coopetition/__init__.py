"""Minimal models of strategy coopetition, fitted to training runs and used to keep ICL alive.

The pipeline, a verb a stage:

    model = models.get("coopetition")        # a theory, declared in symbols
    ode = reduce(model)                      # exactly a few ordinary differential equations
    trajectory = integrate(model)            # or integrate_many, or descend
    predicted = observe(trajectory)          # curves against sequences seen
    (measured,) = read_curves("published:main")
    result = fit(measured, model)            # parameters, with what the data do not determine
    landmarks(measured), verdict(measured)   # when ICL emerges, vanishes; whether it lasts
    forecast(measured, default_map(), …)     # what becomes of it, from what other runs did
    propose(settings, default_map(), …)      # settings in which ICL should last
    verify(folder)                           # trained: did they come true?
    train.train(...)                         # the transformers themselves (imports torch)

Names are imported when first used, so that ``import coopetition`` costs nothing.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from .curves import Curve, Curves
from .landmarks import Landmarks, landmarks, verdict
from .version import __version__

if TYPE_CHECKING:
    from .descent import descend
    from .fitting import Fit, FitSettings, fit
    from .forecasting import Forecast, forecast
    from .integration import integrate, integrate_many, integrate_tangents
    from .knobs import KnobMap, calibrate, default_map
    from .logs import published_runs, read_curves, write_curves
    from .models import CATALOGUE, Cost, Model, Strategy
    from .observation import observe
    from .proposal import Proposals, propose
    from .readout import Readout
    from .reduction import ReducedODE, reduce
    from .starts import Start, project, random_start, read_start
    from .trajectory import Batch, Outcome, Trajectory
    from .verification import verify
    from .verified import Verification

_WHERE = {
    "models": ("CATALOGUE", "Cost", "Model", "Strategy"),
    "reduction": ("ReducedODE", "reduce"),
    "starts": ("Start", "project", "random_start", "read_start"),
    "integration": ("integrate", "integrate_many", "integrate_tangents"),
    "descent": ("descend",),
    "trajectory": ("Batch", "Outcome", "Trajectory"),
    "readout": ("Readout",),
    "observation": ("observe",),
    "logs": ("published_runs", "read_curves", "write_curves"),
    "fitting": ("Fit", "FitSettings", "fit"),
    "forecasting": ("Forecast", "forecast"),
    "knobs": ("KnobMap", "calibrate", "default_map"),
    "proposal": ("Proposals", "propose"),
    "verification": ("verify",),
    "verified": ("Verification",),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "CATALOGUE",
    "Batch",
    "Cost",
    "Curve",
    "Curves",
    "Fit",
    "FitSettings",
    "Forecast",
    "KnobMap",
    "Landmarks",
    "Model",
    "Outcome",
    "Proposals",
    "Readout",
    "ReducedODE",
    "Start",
    "Strategy",
    "Trajectory",
    "Verification",
    "__version__",
    "calibrate",
    "default_map",
    "descend",
    "fit",
    "forecast",
    "integrate",
    "integrate_many",
    "integrate_tangents",
    "landmarks",
    "observe",
    "project",
    "propose",
    "published_runs",
    "random_start",
    "read_curves",
    "read_start",
    "reduce",
    "verdict",
    "verify",
    "write_curves",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first asked for."""
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _modules():
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_modules()})


@functools.cache
def _modules() -> frozenset[str]:
    """The package's modules and rooms; none is imported to find them."""
    import pkgutil

    return frozenset(module.name for module in pkgutil.iter_modules(__path__))
