"""Commands that read logs: what they are given, and what is refused."""

import importlib
import importlib.metadata

import click
import pytest
from click.testing import CliRunner

(entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
options = importlib.import_module(f"{entry.module}.curves_options")


@click.command()
@options.log_options
def show(logs, columns, run):
    for curves in options.read_logs(logs, columns, run):
        click.echo(f"{curves.run} {','.join(curves.evaluators)} {curves.last_sequence:g}")


def test_logs_are_read_and_notes_go_to_stderr(tmp_path):
    log = tmp_path / "mine.csv"
    log.write_text("step,acc\n0,50\n10,80\n20,90\n")
    arguments = ["published:mq", str(log), "--columns", "flip=acc,sequences=step*32"]
    result = CliRunner().invoke(show, arguments)
    assert result.stdout == "mq flip 1.995e+07\nmine flip 640\n"
    assert "mine: the accuracies were in per cent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "--columns", "flop=acc"], "did you mean 'flip'"),
        ([], "Missing argument 'LOG...'"),
    ],
)
def test_wrong_usage(arguments, message):
    result = CliRunner().invoke(show, arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_columns_that_nothing_given_could_have_are_refused(tmp_path):
    fits = tmp_path / "fit.json"
    fits.write_text('{"format": "coopetition fits 2"')
    columns = options.columns_of_text(None, None, "flip=acc")
    for sources in (["published:mq", "cpu:base_seed=0"], [str(fits)]):
        with pytest.raises(ValueError, match="leave it out"):
            options.require_files(sources, columns)
        options.require_files(sources, None)
        options.require_files([*sources, "mine.csv"], columns)
