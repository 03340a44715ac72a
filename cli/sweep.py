"""The part of `train` that spreads runs over workers: its options and its report."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Command, count_option, echo_json, split_assignments

if TYPE_CHECKING:
    from coopetition.train.sweeps.sweep import Sweep
    from coopetition.train.sweeps.sweep_run import SweepResult

ON_GPU = 32  # runs in an ensemble by default


def sweep_options(command: Command) -> Command:
    """The options of `train` that concern many runs on many workers."""
    options = (
        click.option(
            "--executor",
            metavar="KIND",
            help="Spread runs over workers: local, dask:ADDRESS or slurm.  [default for a sweep: "
            "local]",
        ),
        count_option(
            "--workers",
            "Local processes, or Slurm jobs at a time.  [default: one for each CPU or GPU]",
        ),
        count_option(
            "--retries", "How often to retry a run whose worker died.", default=2, least=0
        ),
        count_option(
            "--ensemble",
            f"Most runs that a worker trains as one.  [default: 1 on CPUs, {ON_GPU} on GPUs]",
        ),
        click.option(
            "--slurm",
            multiple=True,
            metavar="key=value",
            help="For Slurm jobs, named as in submitit: timeout_min=60, slurm_partition=gpu …",
        ),
        click.option(
            "--tables",
            type=click.Choice(["csv", "parquet"]),
            default="csv",
            show_default=True,
            help="Format of a sweep's tables.",
        ),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


def wants_sweep(settings: tuple[str, ...], executor: str | None) -> bool:
    """Whether runs go to workers: those of a sweep's file, or any with an executor.

    Raises
    ------
    ValueError
        If a sweep is given together with other settings.
    """
    from coopetition.train.sweeps.sweep import is_sweep

    sweeps = [name for name in settings if is_sweep(name)]
    if sweeps and len(settings) > 1:
        raise ValueError(f"settings = {' '.join(settings)}: {sweeps[0]} is a sweep; give it alone")
    return executor is not None or bool(sweeps)


def spread_runs(
    sweep: Sweep,
    output: Path | None,
    sources: tuple[str, ...],
    *,
    resume: bool,
    device: str,
    as_json: bool,
    quiet: bool,
    executor: str | None,
    workers: int | None,
    retries: int,
    ensemble: int | None,
    slurm: tuple[str, ...],
    tables: str,
) -> None:
    """Train a sweep from ``sources`` and write its tables; a `TrainingError` if a run failed."""
    from coopetition.errors import TrainingError
    from coopetition.train.sweeps.executors import open_executor
    from coopetition.train.sweeps.sweep_run import train_sweep
    from coopetition.train.sweeps.sweep_tables import write_sweep_tables

    folder = output or Path("runs") / sweep.name
    about = {"command": sys.argv[1:]}
    inputs = [Path(source) for source in sources if Path(source).is_file()]
    jobs = {key: whole_number(value) for key, value in split_assignments(slurm, "--slurm").items()}
    with open_executor(
        executor or "local", workers=workers, folder=folder / "jobs", device=device, slurm=jobs
    ) as pool:
        result = train_sweep(
            sweep,
            folder,
            executor=pool,
            resume=resume,
            retries=retries,
            device=device,
            largest=ensemble or (ON_GPU if on_gpu(device) else 1),
            progress=not quiet,
            about=about,
            inputs=inputs,
        )
    curves, runs = write_sweep_tables(result, suffix=tables, about=about, inputs=inputs)
    if as_json:
        written = {"sweep": str(folder), "curves": str(curves), "table": str(runs)}
        echo_json({**written, "runs": results_of(result)}, indent=2)
    else:
        click.echo(f"{result.summary()}\ncurves: {curves}\ntable: {runs}")
    if result.failed:
        count = f"{len(result.failed)} of {len(result.runs)} runs"
        first = result.failed[0]
        raise TrainingError(
            f"{count} did not finish, such as {first.settings.name}: {first.error}; the others are "
            f"in {folder}; continue with --resume"
        )


def on_gpu(device: str) -> bool:
    """Whether runs compute on a GPU."""
    if device != "auto":
        return device.startswith("cuda")
    from coopetition.train.sweeps.executors import cuda_devices

    return bool(cuda_devices())


def results_of(result: SweepResult) -> list[dict[str, Any]]:
    """What `--json` says of each run."""
    from coopetition.train.sweeps.sweep_tables import readings

    empty: dict[str, Any] = {"landmarks": None, "verdict": None, "horizon": None, "final": {}}
    rows = []
    for run in result.runs:
        speed = run.sequences / run.seconds if run.sequences and run.seconds else None
        rows.append(
            {
                "run": str(run.folder),
                "name": run.settings.name,
                "seed": run.settings.run.seed,
                "status": run.status,
                "error": run.error or None,
                "attempts": run.attempts,
                "sequences": run.sequences,
                "seconds": run.seconds,
                "sequences_per_second": speed,
                **(empty if run.curves is None else readings(run.curves)),
            }
        )
    return rows


def whole_number(text: str) -> int | str:
    """The text as a whole number if it is one."""
    return int(text) if text.isdigit() else text
