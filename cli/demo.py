"""The command `demo`: the whole pipeline on data that ship with the package."""

from __future__ import annotations

import time
from pathlib import Path

import click

from .options import count_option, output_folder, save_figure, seed_option

HORIZON = 2e7  # sequences: the end of the paper's figure 1b
QUICK = 2  # stages of the quick demo
FIRST_PART = 0.25  # share of the horizon that the forecast sees
BASE = "cpu-transient"  # the run to improve on
PATHS = 12  # trajectories in the picture of strengths against each other


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
@seed_option("Seed of starts, fits and draws.")
@click.option("--quick", is_flag=True, help="Only integrate and fit; nothing is trained.")
def demo(output: Path, starts: int, seed: int, quick: bool) -> None:
    """Run the whole pipeline: integrate, fit, forecast, train, propose, verify.

    Everything needed comes with the package; the curves of arXiv 2503.05631, figure 1b, were
    digitised from the figure. It takes a few minutes on a CPU, and continues where it stopped if
    interrupted. With --quick it ends after the fit, in less than a minute.
    """
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    stages = (_integrate, _fit, _forecast, _train, _propose, _verify)
    for number, stage in enumerate(stages[:QUICK] if quick else stages, start=1):
        title = str(stage.__doc__).partition(".")[0]
        click.secho(f"\n[{number}/{QUICK if quick else len(stages)}] {title}", bold=True)
        stage(output, starts, seed)
    click.echo(f"\npictures and results: {output}/ ({time.monotonic() - began:.0f} s)")


def _integrate(output: Path, starts: int, seed: int) -> None:
    """The toy model of arXiv 2503.05631, section 6, integrated: ICL comes and goes."""
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
    others = [random_start(model, stream(k, "start")) for k in range(seed, seed + PATHS)]
    paths = [integrate(model, start=other, compiled=False) for other in others]
    save_figure(plot_phase(paths).figure, output / "toy_model_phase.png")


def _fit(output: Path, starts: int, seed: int) -> None:
    """The toy model fitted to the paper's published main run (figure 1b)."""
    from coopetition.curves.landmarks import landmarks
    from coopetition.curves.verdicts import verdict
    from coopetition.dynamics.catalogue import get
    from coopetition.fitting import FitSettings, fit, predict, write_fits
    from coopetition.logs import read_curves
    from coopetition.report.figures import fit_figure, plot_waterfall

    (curves,) = read_curves("published:main")
    settings = FitSettings(starts=starts, seed=seed)
    result = fit(curves, get("coopetition"), settings=settings, progress=True)
    click.echo(result.summary())
    click.echo(f"\nmeasured: {landmarks(curves).summary()}")
    predicted = result.predict()
    click.echo(f"\nfitted: {landmarks(predicted, exact=True).summary()}")
    for name, run in (("measured", curves), ("fitted", predicted)):
        click.echo(f"verdict at {HORIZON:,.0f} sequences, {name}: ICL is {verdict(run, HORIZON)}")
    write_fits(output / "fit.json", [result], settings={"starts": starts})
    prediction = predict(result, result.measurements.sequences[-1])
    save_figure(fit_figure(result, prediction), output / "fit_main.png")
    save_figure(plot_waterfall(result).figure, output / "starts.png")


def _forecast(output: Path, starts: int, seed: int) -> None:
    """The published run forecast from its first quarter, by a map without it."""
    from coopetition.files import write_atomically
    from coopetition.forecasting import forecast
    from coopetition.forecasting.settings_map import default_map
    from coopetition.logs import read_curves
    from coopetition.report.figures import plot_forecast

    (curves,) = read_curves("published:main")
    settings_map = default_map().without(curves.run)
    until = FIRST_PART * HORIZON
    expected = forecast(curves, settings_map, until=until, horizon=HORIZON, seed=seed)
    click.echo(expected.summary())
    write_atomically(output / "forecast_main.csv", expected.to_table().to_csv(index=False))
    axes = plot_forecast(expected, measured=curves)
    title = "the published main run, forecast from its first quarter; grey: measured"
    axes.set_title(title, fontsize="medium")
    save_figure(axes.figure, output / "forecast_main.png")


def _train(output: Path, starts: int, seed: int) -> None:
    """A small transformer trained, in which ICL is transient."""
    from coopetition.curves.landmarks import landmarks
    from coopetition.curves.verdicts import verdict
    from coopetition.settings.presets import preset
    from coopetition.train.loop import train

    base = preset(BASE)
    # a network this small gains little from a second thread, and loses much on shared cores
    settings = base.replace(run=base.run.replace(threads=1))
    (run,) = train(settings, output / "base", resume=True)
    click.echo(landmarks(run.curves).summary())
    click.echo(f"verdict: ICL is {verdict(run.curves)}")


def _propose(output: Path, starts: int, seed: int) -> None:
    """Settings in which ICL should last, proposed from that run and a map of small runs."""
    from coopetition.proposal.proposals_folder import PREDICTIONS

    from .propose import propose

    folder = output / "proposals"
    if (folder / PREDICTIONS).exists():
        click.echo(f"{folder} holds proposals already, and predictions are never rewritten")
        return
    context = click.get_current_context()
    context.invoke(propose, fits=(str(output / "base"),), output=folder, count=1, seed=seed)


def _verify(output: Path, starts: int, seed: int) -> None:
    """The best proposal trained, and its prediction verified."""
    from coopetition.proposal.verification import verify

    verification = verify(output / "proposals")
    click.echo(verification.summary())
    verification.require()
