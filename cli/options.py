"""Options that several commands share, and checks of their values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

output_folder = click.Path(file_okay=False, path_type=Path)
output_file = click.Path(dir_okay=False, path_type=Path)
input_file = click.Path(exists=True, dir_okay=False, path_type=Path)

FIGURES = (".png", ".pdf", ".svg", ".jpg")


def parameters_option(help_text: str) -> Callable[[Command], Command]:
    """``-p name=value``, repeatable."""
    return click.option("-p", "parameters", multiple=True, metavar="name=value", help=help_text)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on stdout."
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress bar.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda, cuda:1 …"
)
plot_option = click.option("--plot", type=output_file, help="Save a picture as .png, .pdf or .svg.")
horizon_option = click.option(
    "--until", type=float, default=16000.0, show_default=True, help="Model time to integrate to."
)


def seed_option(help_text: str) -> Callable[[Command], Command]:
    """``--seed``, 0 by default."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help=help_text
    )


def count_option(
    name: str, help_text: str, *, default: int | None = None, least: int = 1
) -> Callable[[Command], Command]:
    """An option that takes a whole number, at least ``least``; a default is shown."""
    return click.option(
        name,
        type=click.IntRange(min=least),
        default=default,
        show_default=default is not None,
        help=help_text,
    )


def gains_options(command: Command) -> Command:
    """``--gain-icl`` and ``--gain-ciwl``: logits at full strength."""
    for strategy in ("ciwl", "icl"):
        command = click.option(
            f"--gain-{strategy}",
            type=float,
            default=4.0,
            show_default=True,
            help=f"Logit of {strategy.upper()} at full strength, for accuracies and verdict.",
        )(command)
    return command


def split_assignments(texts: tuple[str, ...], option: str = "-p") -> dict[str, str]:
    """``name=value`` texts as a mapping; a name given twice is an error."""
    result: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise ValueError(f"{option} {text!r}: write name=value, e.g. mu1=0.1")
        if name in result:
            raise ValueError(f"{option} {name} is given twice: {result[name]} and {value}")
        result[name] = value
    return result


def numbers(assignments: dict[str, str], option: str = "-p") -> dict[str, float]:
    """The values as numbers."""
    result = {}
    for name, value in assignments.items():
        try:
            result[name] = float(value)
        except ValueError:
            raise ValueError(f"{option} {name}={value}: {value!r} is not a number") from None
    return result


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all, in the format of the path's suffix."""
    import io

    from coopetition.files import write_atomically

    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:] or "png", dpi=150, bbox_inches="tight")
    write_atomically(path, buffer.getvalue())


def checked_figure_path(path: Path | None) -> None:
    """Refuse a figure's path before work starts, by its format or as `checked_output` does."""
    checked_output(path, "--plot", suffixes=FIGURES)


def checked_output_path(path: Path | None, *, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a table's path before work starts, by its format or as `checked_output` does."""
    from coopetition.files import checked_table_path

    if path is not None:
        checked_output(checked_table_path(path), inputs=inputs)


def checked_output(
    path: Path | None,
    option: str = "-o",
    *,
    suffixes: tuple[str, ...] = (),
    inputs: Iterable[str | Path] = (),
) -> None:
    """Refuse an output before work starts if it cannot be written or would replace an input.

    Inputs may be files, run folders, whose ``run.json`` is protected, and names of runs that ship
    with the package.

    Raises
    ------
    ValueError
        If the name has none of the suffixes, the file is one of the inputs, or its folder cannot be
        written to; the message names option, path and remedy.
    """
    import tempfile

    if path is None:
        return
    if suffixes and path.suffix not in suffixes:
        wanted = suffixes[0] if len(suffixes) == 1 else f"one of {', '.join(suffixes)}"
        raise ValueError(f"{option} {path}: end its name in {wanted}")
    for source in inputs:
        for file in (Path(source), Path(source, "run.json")):
            if file.is_file() and os.path.exists(path) and os.path.samefile(file, path):
                raise ValueError(f"{option} {path} would replace an input: choose another name")
    above = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if not above.is_dir():
        raise ValueError(f"{option} {path}: {above} is not a folder; choose another place")
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise ValueError(
            f"{option} {path}: nothing can be written in {above} ({error.strerror}); choose "
            "another place"
        ) from error


def echo_json(value: Any, *, indent: int | None = None) -> None:
    """Print a result as JSON, with null for numbers that are not finite."""
    import json

    from coopetition.files import jsonable

    click.echo(json.dumps(jsonable(value), indent=indent))
