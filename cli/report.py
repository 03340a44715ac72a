"""The command `report`: one page of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .curves_options import columns_option, require_files
from .options import checked_output, output_file

if TYPE_CHECKING:
    from coopetition.logs import Columns


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@columns_option
@click.option(
    "-o",
    "output",
    type=output_file,
    required=True,
    metavar="report.html",
    help="The file for the page.",
)
def report(paths: tuple[str, ...], columns: Columns | None, output: Path) -> None:
    """Make one HTML page of PATHs: fits, logs, run folders, proposals, published:NAME.

    Pictures are embedded, so that the page can be sent as a single file. What cannot be shown is
    listed in the page and on stderr, and the exit code is then 1.
    """
    from coopetition.report import write_report

    checked_output(output, suffixes=(".html", ".htm"), inputs=paths)
    require_files(paths, columns)
    missing = write_report(output, paths, columns=columns)
    click.echo(str(output))
    for line in missing:
        click.echo(f"not shown: {line}", err=True)
    if missing:
        raise click.exceptions.Exit(1)
