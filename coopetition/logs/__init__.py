"""Training logs of many formats, read as `Curves`; one verb: `read_curves`."""

from .columns import Columns, parse_columns
from .reading import read_curves
from .shipped_runs import published_runs, small_runs
from .writing import write_curves

__all__ = [
    "Columns",
    "parse_columns",
    "published_runs",
    "read_curves",
    "small_runs",
    "write_curves",
]
