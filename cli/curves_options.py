"""The arguments and options of every command that reads training logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from .options import Command

if TYPE_CHECKING:
    from coopetition import Curves
    from coopetition.logs import Columns

SHIPPED = ("published:", "cpu:")


def columns_of_text(
    _: click.Context, parameter: click.Parameter, text: str | None
) -> Columns | None:
    """The columns that the option names, parsed before any work begins."""
    from coopetition.logs import parse_columns

    if text is None:
        return None
    try:
        return parse_columns(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


columns_option = click.option(
    "--columns",
    metavar="KEY=COLUMN,...",
    callback=columns_of_text,
    help="Which column of a file holds what, if their names do not say: "
    "flip=COLUMN,icl/loss=COLUMN,sequences=step*32,run=COLUMN.",
)


def require_files(sources: Iterable[str], columns: Columns | None) -> None:
    """Refuse columns, by a `ValueError`, if no source is a file that could need them."""
    from coopetition.fitting import holds_fits

    sources = list(sources)
    if columns is not None and all(s.startswith(SHIPPED) or holds_fits(s) for s in sources):
        names = ", ".join(sources[:3]) + (" …" if len(sources) > 3 else "")
        raise ValueError(
            f"--columns says how to read a log of your own, but {names} need none: leave it out"
        )


def log_options(command: Command) -> Command:
    """Give a command ``LOG…``, ``--columns`` and ``--run``.

    The command receives ``logs`` (tuple of str), ``columns`` and ``run`` (or None), as
    `read_logs` takes them.
    """
    run = click.option("--run", metavar="NAME", help="The run to read, if LOG holds several.")
    logs = click.argument("logs", metavar="LOG...", nargs=-1, required=True)
    return logs(columns_option(run(command)))


def read_logs(logs: Iterable[str], columns: Columns | None, run: str | None) -> tuple[Curves, ...]:
    """All runs in the logs; notes on what was corrected go to stderr.

    Columns apply to files only: runs that ship with the package need none.

    Raises
    ------
    LogError, ValueError
        As `coopetition.logs.read_curves`.
    """
    from coopetition.logs import read_curves

    logs = list(logs)
    require_files(logs, columns)
    runs: list[Curves] = []
    for log in logs:
        own = None if log.startswith(SHIPPED) else columns
        runs += read_curves(log, columns=own, run=run)
    for curves in runs:
        for note in curves.notes:
            click.echo(f"{curves.run}: {note}", err=True)
    return tuple(runs)
