"""Curves against sequences seen, the one currency of theory and evidence; landmarks, verdicts."""

from .curve import EVALUATORS, Curve, Curves
from .landmarks import Landmark, Landmarks, landmarks
from .verdicts import verdict

__all__ = ["EVALUATORS", "Curve", "Curves", "Landmark", "Landmarks", "landmarks", "verdict"]
