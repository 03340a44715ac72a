"""Parquet files as tables, not yet interpreted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..files import foreign_parser
from .columns import Columns
from .csv_table import distinct_names

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

LARGEST_TEXT = 64 * 2**20  # bytes of a text in the file's own description


def read_parquet(path: Path, columns: Columns | None = None) -> pd.DataFrame:
    """A Parquet file as a table; a pandas index is a column like any other."""
    import pandas as pd
    import pyarrow.parquet

    with foreign_parser(path, "Parquet file"):
        # not through pandas, whose own metadata may be damaged where the data are whole
        content = pyarrow.parquet.ParquetFile(
            path, page_checksum_verification=True, thrift_string_size_limit=LARGEST_TEXT
        ).read()
        names, repeated = distinct_names(content.column_names)
        series = {}
        for name, column in zip(names, content.columns, strict=True):
            series[name] = column.to_pandas()
            series[name].to_numpy()  # texts are decoded only when looked at
        series |= _ranges(content)
        unnamed = [name for name in series if name.startswith("__index_level_")]
        table = pd.DataFrame(series).drop(columns=unnamed)
    table.attrs["repeated"] = repeated
    return table


def _ranges(content: pyarrow.Table) -> dict[str, pd.Series]:
    """Named indices of equal steps, of which pandas stores only the description."""
    import pandas as pd

    described = (content.schema.pandas_metadata or {}).get("index_columns", [])
    ranges = {}
    for index in described:
        if isinstance(index, dict) and index.get("name") and len(described) == 1:
            steps = range(int(index["start"]), int(index["stop"]), int(index["step"]))
            if len(steps) == content.num_rows:
                ranges[str(index["name"])] = pd.Series(steps)
    return ranges
