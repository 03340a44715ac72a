"""`coopetition equilibria`, called as the installed entry point."""

from __future__ import annotations

import importlib.metadata
import json

import click
import pytest
from click.testing import CliRunner, Result

KEYS = {
    "state", "residual", "eigenvalues", "type", "index", "dimension", "loss", "strengths",
    "verdict", "closed_form",
}  # fmt: skip


@pytest.fixture(scope="module")
def command() -> click.Command:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="coopetition")
    loaded = entry.load()
    assert isinstance(loaded, click.Command)
    return loaded


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["equilibria", *arguments], prog_name="coopetition")


def test_json_is_one_object_with_the_promised_keys(command: click.Command) -> None:
    result = run(command, "coopetition", "-p", "mu1=0", "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert {"model", "parameters", "equilibria", "manifolds"} <= set(said)
    assert said["model"] == "coopetition"
    assert said["parameters"]["mu1"] == 0
    assert all(set(e) == KEYS for e in said["equilibria"])
    stable = {e["verdict"] for e in said["equilibria"] if e["type"] == "stable node"}
    assert stable == {"persistent", "transient"}
    for manifold in said["manifolds"]:
        own = said["equilibria"][manifold["equilibrium"]]
        assert own["dimension"] == manifold["dimension"] > 0
        assert own["state"] == manifold["state"]
        assert all(len(pair) == 2 for pair in own["eigenvalues"])


def test_text_is_a_table(command: click.Command) -> None:
    result = run(command, "decay", "--starts", "128")
    assert result.exit_code == 0, result.stderr
    first, header, *rows = result.stdout.splitlines()
    assert first.startswith("decay: ")
    assert {"type", "loss", "verdict", "x_a", "y_d"} <= set(header.split())
    assert any(row.startswith("stable node") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["copetition"], "did you mean 'coopetition'"),
        (["coopetition", "-p", "mu1"], "write name=value"),
        (["coopetition", "-p", "mu1=x"], "'x' is not a number"),
        (["coopetition", "-p", "mu1=-1"], "parameter mu1 must be at least 0"),
        (["coopetition", "-p", "mu3=1"], "unknown parameter of coopetition 'mu3'"),
        (["coopetition", "--starts", "0"], "--starts"),
    ],
)
def test_wrong_usage_is_said(command: click.Command, arguments: list[str], message: str) -> None:
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
