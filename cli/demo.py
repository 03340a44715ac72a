"""The chain from end to end on bundled data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import save_figure

if TYPE_CHECKING:
    from coopetition.fitting import Fit

HORIZON = 2e7  # sequences: the end of the paper's figure 1b
STARTS_SHOWN = 12  # trajectories in the picture of the strengths' phase


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("coopetition-demo"),
    show_default=True,
    help="The folder for pictures and results.",
)
@click.option("--starts", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def demo(output: Path, starts: int, seed: int) -> None:
    """Integrate the paper's toy model and fit it to the paper's own training run.

    Everything needed comes with the package: the curves of arXiv 2503.05631, figure 1b, were
    digitised from the figure. Takes less than a minute.
    """
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    _integrated(output, seed)
    _fitted(output, starts, seed)
    click.echo(f"\npictures and results: {output}/ ({time.monotonic() - began:.0f} s)")


def _step(number: int, text: str) -> None:
    click.secho(f"\n[{number}/2] {text}", bold=True)


def _integrated(output: Path, seed: int) -> None:
    """The toy model by itself: ICL comes and goes."""
    from coopetition.files import provenance, write_table
    from coopetition.integration import integrate
    from coopetition.models import get
    from coopetition.plot import plot_phase, trajectory_figure
    from coopetition.predicted_landmarks import landmarks_of
    from coopetition.seeds import stream
    from coopetition.starts import random_start

    _step(1, "the toy model of arXiv 2503.05631, section 6, integrated to time 16,000")
    model = get("coopetition")
    start = random_start(model, stream(seed, "start"))
    trajectory = integrate(model, start=start, compiled=False).require()
    click.echo(trajectory.summary())
    marks = landmarks_of(trajectory)
    if marks is not None:
        click.echo(marks.summary())
    about = provenance("demo", {"model": model.name, **trajectory.parameters}, seed=seed)
    columns = {"time": trajectory.times, **trajectory.outputs}
    write_table(output / "toy_model.csv", columns, about)
    save_figure(trajectory_figure(trajectory), output / "toy_model.png")
    others = [random_start(model, stream(k, "start")) for k in range(seed, seed + STARTS_SHOWN)]
    paths = [integrate(model, start=other, compiled=False) for other in others]
    save_figure(plot_phase(paths).figure, output / "toy_model_phase.png")


def _fitted(output: Path, starts: int, seed: int) -> None:
    """The toy model fitted to the published run."""
    from coopetition.fitting import FitSettings, fit, write_fits
    from coopetition.landmarks import landmarks, verdict
    from coopetition.logs import read_curves
    from coopetition.models import get

    _step(2, "fitted to the published main run (figure 1b; published:main)")
    (curves,) = read_curves("published:main")
    settings = FitSettings(starts=starts, seed=seed)
    result = fit(curves, get("coopetition"), settings=settings, progress=True)
    click.echo(result.summary())
    click.echo(f"\nmeasured: {landmarks(curves).summary()}")
    predicted = result.predict()
    click.echo(f"\nfitted: {landmarks(predicted, exact=True).summary()}")
    for name, both in (("measured", curves), ("fitted", predicted)):
        click.echo(f"verdict at {HORIZON:,.0f} sequences, {name}: ICL is {verdict(both, HORIZON)}")
    write_fits(output / "fit.json", [result], settings={"starts": starts})
    _pictured(output, result)


def _pictured(output: Path, result: Fit) -> None:
    """The fit over the data with bands, and what the starts found."""
    from coopetition.fitting import predict
    from coopetition.plot import fit_figure, plot_waterfall

    prediction = predict(result, result.measurements.sequences[-1])
    save_figure(fit_figure(result, prediction), output / "fit_main.png")
    save_figure(plot_waterfall(result).figure, output / "starts.png")
