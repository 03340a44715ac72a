"""`--help` teaches: examples keep their lines, and every option says what it is for."""

from __future__ import annotations

import importlib.metadata

import click
import numpy as np
import pytest
from click.testing import CliRunner

(ENTRY,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
MAIN = ENTRY.load()


@pytest.mark.parametrize("name", sorted(MAIN.commands))
def test_help_is_text_to_read(name: str) -> None:
    result = CliRunner().invoke(MAIN, [name, "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert "\\b" not in result.output  # an escape that reached the reader
    for line in result.output.splitlines():
        assert line.count(f"coopetition {name} ") <= 1  # examples run into one another


@pytest.mark.parametrize("name", sorted(MAIN.commands))
def test_every_option_says_what_it_is_for(name: str) -> None:
    silent = [
        option.opts
        for option in MAIN.commands[name].params
        if isinstance(option, click.Option) and not option.help
    ]
    assert not silent


@pytest.mark.parametrize("charset", ["latin-1", "ascii", "utf-8"])
@pytest.mark.parametrize("name", sorted(MAIN.commands))
def test_help_is_printed_whatever_the_terminal_can_encode(name: str, charset: str) -> None:
    result = CliRunner(charset=charset).invoke(MAIN, [name, "--help"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("wrong"), 2), (np.linalg.LinAlgError("singular"), 1)]
)
def test_wrong_usage_is_told_from_a_computation_that_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MAIN.commands["models"], "callback", fails)
    result = CliRunner().invoke(MAIN, ["models"])
    assert result.exit_code == code
    assert str(error) in result.stderr
