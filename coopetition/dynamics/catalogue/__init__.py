"""The toy models that come with the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...errors import unknown_name
from ..model import Model
from .coopetition import COOPERATION, COOPETITION, DECAY, INDEPENDENT
from .induction import INDUCTION
from .three_strategies import THREE_STRATEGIES

__all__ = ["CATALOGUE", "get"]

CATALOGUE: Mapping[str, Model] = MappingProxyType(
    {
        model.name: model
        for model in (COOPETITION, INDUCTION, INDEPENDENT, COOPERATION, DECAY, THREE_STRATEGIES)
    }
)


def get(name: str) -> Model:
    """The catalogue's model of that name; a `ValueError` names the nearest if there is none.

    Examples
    --------
    >>> get("coopetition").vectors
    ('a', 'b', 'c', 'd')
    """
    if name not in CATALOGUE:
        raise unknown_name("model", name, CATALOGUE)
    return CATALOGUE[name]
