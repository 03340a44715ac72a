"""Verifying proposals by training them."""

from __future__ import annotations

from pathlib import Path

import click

from .options import (
    checked_output,
    device_option,
    echo_json,
    json_option,
    output_file,
    quiet_option,
)


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@device_option
@click.option("--no-train", is_flag=True, help="Score finished runs only, and name the others.")
@click.option(
    "--update",
    type=output_file,
    metavar="MAP.json",
    help="Write a map that has learnt from these runs.",
)
@quiet_option
@json_option
def verify(
    folder: Path, device: str, no_train: bool, update: Path | None, quiet: bool, as_json: bool
) -> None:
    """Train the proposals in DIR, and compare what was predicted with what came.

    DIR is what `coopetition propose -o DIR` wrote. Finished runs are read, broken-off ones
    continued; the predictions are never rewritten. Verdicts go to DIR/verdicts.json. A proposal
    whose training fails is named at the end, with the reason; the others are trained and scored.
    """
    from coopetition.forecasting.settings_map import save_map
    from coopetition.proposal.proposals_folder import MAP, PREDICTIONS, VERDICTS
    from coopetition.proposal.verification import updated_map
    from coopetition.proposal.verification import verify as verify_folder

    kept = [folder / name for name in (MAP, PREDICTIONS, VERDICTS)]
    checked_output(update, "--update", suffixes=(".json",), inputs=kept)
    verification = verify_folder(
        folder, device=device, train_missing=not no_train, progress=not quiet
    )
    if update is not None:
        save_map(updated_map(folder, verification), update)
    if as_json:
        echo_json(verification.as_dict())
    else:
        click.echo(verification.summary())
    verification.require()
