"""One self-contained HTML page of runs, fits with their forecasts, and proposals."""

from .page import report, write_report
from .sections import Section

__all__ = ["Section", "report", "write_report"]
