"""The command `verify`: proposals checked by training them."""

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
@click.option("--no-train", is_flag=True, help="Only score finished runs, and list the others.")
@click.option(
    "--update",
    type=output_file,
    metavar="MAP.json",
    help="Write the map with these runs added.",
)
@quiet_option
@json_option
def verify(
    folder: Path, device: str, no_train: bool, update: Path | None, quiet: bool, as_json: bool
) -> None:
    """Train the proposals in DIR, and compare predictions with measurements.

    DIR was written by `coopetition propose -o DIR`. Finished runs are read, interrupted ones
    continued; the predictions are never rewritten. Verdicts go to DIR/verdicts.json. If training a
    proposal fails, the others are still trained and scored, and the reason is given at the end.
    """
    from coopetition.forecasting.settings_map import save_map
    from coopetition.proposal.proposals_folder import MAP, PREDICTIONS, VERDICTS
    from coopetition.proposal.verification import updated_map
    from coopetition.proposal.verification import verify as verify_folder

    files = [folder / name for name in (MAP, PREDICTIONS, VERDICTS)]
    checked_output(update, "--update", suffixes=(".json",), inputs=files)
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
