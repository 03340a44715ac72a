"""Theories as declarations, one a file."""

from .catalogue import CATALOGUE, get
from .model import Cost, Model, Strategy

__all__ = ["CATALOGUE", "Cost", "Model", "Strategy", "get"]
