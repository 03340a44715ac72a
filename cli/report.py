"""One page of results."""

from __future__ import annotations

from pathlib import Path

import click

from .options import checked_output, output_file


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option(
    "-o",
    "output",
    type=output_file,
    required=True,
    metavar="report.html",
    help="Where the page goes.",
)
def report(paths: tuple[str, ...], output: Path) -> None:
    """Make one HTML page of PATHs: fits, logs, run folders, published:NAME.

    The page holds its pictures, so it can be sent as it is.
    """
    from coopetition.report import write_report

    checked_output(output, suffixes=(".html", ".htm"), inputs=paths)
    click.echo(str(write_report(output, paths)))
