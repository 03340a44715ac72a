"""The chain from end to end on bundled data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import count_option, output_folder, save_figure, seed_option

if TYPE_CHECKING:
    from coopetition.fitting import Fit

HORIZON = 2e7  # sequences: the end of the paper's figure 1b
QUICK = 2  # stages of the quick demo
FIRST_PART = 0.25  # share of the horizon that the forecast is told
BASE = "cpu-transient"  # the run to improve on
STARTS_SHOWN = 12  # trajectories in the picture of the strengths' phase


@click.command()
@click.option(
    "-o",
    "--output",
    type=output_folder,
    default=Path("coopetition-demo"),
    show_default=True,
    help="The folder for pictures and results.",
)
@count_option("--starts", "Starts of the fit.", default=32)
@seed_option("Of starts, fits and draws.")
@click.option("--quick", is_flag=True, help="Only integrate and fit; nothing is trained.")
def demo(output: Path, starts: int, seed: int, quick: bool) -> None:
    """Go the whole way: integrate, fit, forecast, propose, train, verify.

    Everything needed comes with the package: the curves of arXiv 2503.05631, figure 1b, were
    digitised from the figure. Takes minutes on a CPU; broken off, it goes on where it stopped.
    With --quick it ends after the fit, in less than one.
    """
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    stages = (_integrated, _fitted, _forecast, _trained, _proposed, _verified)
    for number, stage in enumerate(stages[:QUICK] if quick else stages, start=1):
        title = str(stage.__doc__).partition(".")[0]
        click.secho(f"\n[{number}/{QUICK if quick else len(stages)}] {title}", bold=True)
        stage(output, starts, seed)
    click.echo(f"\npictures and results: {output}/ ({time.monotonic() - began:.0f} s)")


def _integrated(output: Path, starts: int, seed: int) -> None:
    """The toy model of arXiv 2503.05631, section 6, by itself: ICL comes and goes."""
    from coopetition.dynamics.catalogue import get
    from coopetition.dynamics.events import landmarks_of
    from coopetition.dynamics.integration import integrate
    from coopetition.dynamics.starts import random_start
    from coopetition.files import provenance, write_table
    from coopetition.report.figures import plot_phase, trajectory_figure
    from coopetition.seeds import stream

    model = get("coopetition")
    start = random_start(model, stream(seed, "start"))
    trajectory = integrate(model, start=start, compiled=False).require()
    click.echo(trajectory.summary())
    marks = landmarks_of(trajectory)
    if marks is not None:
        click.echo(marks.summary(unit="of model time"))
    about = provenance("demo", {"model": model.name, **trajectory.parameters}, seed=seed)
    columns = {"time": trajectory.times, **trajectory.outputs}
    write_table(output / "toy_model.csv", columns, about)
    save_figure(trajectory_figure(trajectory), output / "toy_model.png")
    others = [random_start(model, stream(k, "start")) for k in range(seed, seed + STARTS_SHOWN)]
    paths = [integrate(model, start=other, compiled=False) for other in others]
    save_figure(plot_phase(paths).figure, output / "toy_model_phase.png")


def _fitted(output: Path, starts: int, seed: int) -> None:
    """The toy model fitted to the paper's published main run (figure 1b)."""
    from coopetition.curves.landmarks import landmarks
    from coopetition.curves.verdicts import verdict
    from coopetition.dynamics.catalogue import get
    from coopetition.fitting import FitSettings, fit, write_fits
    from coopetition.logs import read_curves

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
    from coopetition.report.figures import fit_figure, plot_waterfall

    prediction = predict(result, result.measurements.sequences[-1])
    save_figure(fit_figure(result, prediction), output / "fit_main.png")
    save_figure(plot_waterfall(result).figure, output / "starts.png")


def _forecast(output: Path, starts: int, seed: int) -> None:
    """The published run forecast from its first quarter, by a map that has not seen it."""
    from coopetition.files import write_atomically
    from coopetition.forecasting import forecast
    from coopetition.forecasting.settings_map import default_map
    from coopetition.logs import read_curves
    from coopetition.report.figures import plot_forecast

    (curves,) = read_curves("published:main")
    settings_map = default_map().without(curves.run)
    told = forecast(curves, settings_map, until=FIRST_PART * HORIZON, horizon=HORIZON, seed=seed)
    click.echo(told.summary())
    write_atomically(output / "forecast_main.csv", told.to_table().to_csv(index=False))
    axes = plot_forecast(told, measured=curves)
    title = "the published main run, forecast from its first quarter; grey: what came"
    axes.set_title(title, fontsize="medium")
    save_figure(axes.figure, output / "forecast_main.png")


def _trained(output: Path, starts: int, seed: int) -> None:
    """A small transformer trained in which ICL is transient."""
    from coopetition.curves.landmarks import landmarks
    from coopetition.curves.verdicts import verdict
    from coopetition.settings.presets import preset
    from coopetition.train.loop import train

    base = preset(BASE)
    # networks this small gain little from a second thread, and lose much where cores are shared
    settings = base.replace(run=base.run.replace(threads=1))
    (run,) = train(settings, output / "base", resume=True)
    click.echo(landmarks(run.curves).summary())
    click.echo(f"verdict: ICL is {verdict(run.curves)}")


def _proposed(output: Path, starts: int, seed: int) -> None:
    """Settings proposed in which ICL should last, from that run and a map of small runs."""
    from coopetition.proposal.proposals_folder import PREDICTIONS

    from .propose import propose

    folder = output / "proposals"
    if (folder / PREDICTIONS).exists():
        click.echo(f"{folder} holds proposals already; predictions are never rewritten")
        return
    context = click.get_current_context()
    context.invoke(propose, fits=(str(output / "base"),), output=folder, count=1, seed=seed)


def _verified(output: Path, starts: int, seed: int) -> None:
    """The best proposal trained, and what was predicted compared with what came."""
    from coopetition.proposal.verification import verify

    verification = verify(output / "proposals")
    click.echo(verification.summary())
    verification.require()
