"""Curves against sequences seen, as logs and models give them; their landmarks and verdicts."""

from .curve import EVALUATORS, Curve, Curves
from .landmarks import Landmark, Landmarks, landmarks
from .verdicts import verdict

__all__ = ["EVALUATORS", "Curve", "Curves", "Landmark", "Landmarks", "landmarks", "verdict"]
