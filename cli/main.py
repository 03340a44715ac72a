"""The command line's group of commands, and how it reports errors."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from coopetition.errors import CoopetitionError
from coopetition.version import __version__

from .calibrate import calibrate
from .demo import demo
from .equilibria import equilibria
from .fit import fit
from .integrate import integrate
from .models import equations, models
from .phase import phase
from .propose import propose
from .report import report
from .train import embeddings, train
from .verify import verify


class Commands(click.Group):
    """A group whose commands end with one line and an exit code instead of a traceback.

    Exit code 1 is a failure of the work (`CoopetitionError`, a full disk or memory), exit code 2
    wrong usage (`ValueError`: the message names the argument, its value and the remedy). A closed
    pipe (`coopetition train | head`) is left to click, which ends silently. Characters that the
    terminal cannot encode are printed as question marks.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run as a program."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="replace")
        return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, turning the package's errors into click's."""
        try:
            return super().invoke(ctx)
        except CoopetitionError as error:
            raise click.ClickException(str(error)) from error
        except ValueError as error:
            from numpy.linalg import LinAlgError

            if isinstance(error, LinAlgError):  # a ValueError that concerns no argument
                raise click.ClickException(
                    f"the equations have no solution ({error}); try another seed or other data"
                ) from error
            raise click.UsageError(str(error)) from error
        except MemoryError as error:
            raise click.ClickException(f"out of memory ({error}); ask for less at once") from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coopetition")
def main() -> None:
    """Model in-context learning that comes and goes while a transformer trains.

    The usual path: `integrate` a toy model, `fit` it to a training log, `propose` settings in which
    in-context learning lasts, and `verify` the predictions by training. `demo` shows all of it.
    """


for command in (
    models, equations, integrate, equilibria, phase, fit, calibrate, train, embeddings, propose,
    verify, report, demo,
):  # fmt: skip
    main.add_command(command)
