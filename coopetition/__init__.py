"""Minimal models of strategy coopetition, fitted to training runs and used to keep ICL alive."""

from .curves import Curve, Curves
from .version import __version__

__all__ = ["Curve", "Curves", "__version__"]
