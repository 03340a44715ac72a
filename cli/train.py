"""The commands `train` and `embeddings`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    checked_output,
    count_option,
    device_option,
    echo_json,
    input_file,
    output_file,
    output_folder,
    quiet_option,
    seed_option,
)
from .sweep import spread_runs, sweep_options, wants_sweep

if TYPE_CHECKING:
    from coopetition.settings.training import TrainingSettings
    from coopetition.train.loop import TrainedRun
    from coopetition.train.sweeps.sweep import Sweep


@click.command()
@click.argument("settings", nargs=-1, metavar="[SETTINGS.yaml|PRESET]…")
@click.option(
    "--settings", "named", multiple=True, metavar="SETTINGS.yaml|PRESET", help="As the argument."
)
@click.option(
    "-s", "--set", "changes", multiple=True, metavar="key=value", help="e.g. network.width=128"
)
@click.option("-o", "--output", type=output_folder, metavar="RUN", help="The run's folder.")
@click.option("--resume", is_flag=True, help="Continue the run in RUN, or begin it.")
@device_option
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, help="Train so many seeds as one ensemble."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (a list for several runs)."
)
@quiet_option
@click.option("--presets", "list_presets", is_flag=True, help="List the presets and exit.")
@sweep_options
def train(
    settings: tuple[str, ...],
    named: tuple[str, ...],
    changes: tuple[str, ...],
    output: Path | None,
    resume: bool,
    device: str,
    seeds: int,
    as_json: bool,
    quiet: bool,
    list_presets: bool,
    **spread: Any,
) -> None:
    """Train a transformer by SETTINGS.yaml or a PRESET, and measure which strategy it uses.

    The default settings are the papers' 2-layer network. Several seeds, and several settings that
    differ only in numbers, train as one ensemble. RUN gets settings, curves and checkpoints; it is
    runs/NAME by default.

    SETTINGS.yaml with a `grid` or `runs` in it is a sweep. Its runs, or any runs with --executor,
    are spread over workers; each run gets a folder in RUN, and RUN gets tables of all of them.

    On a GPU, steps are captured as CUDA graphs; -s run.kernels=fused (a few Triton kernels,
    experimental), -s run.capture=off and -s run.matmul=tf32 (tf32x3, bf16) choose otherwise. A run
    first compares two steps with plain PyTorch's and falls back where they differ; what it used,
    and how much memory, is printed and kept in run.json.
    """
    if list_presets:
        click.echo(presets_listed())
        return
    settings += named
    common: dict[str, Any] = {
        "resume": resume,
        "device": device,
        "as_json": as_json,
        "quiet": quiet,
    }
    if wants_sweep(settings, spread["executor"]):
        sweep = sweep_of(settings, changes, seeds)
        tell_unused(sweep.members)
        spread_runs(sweep, output, settings, **common, **spread)
    else:
        members = members_of(settings, changes, seeds, resumed=output if resume else None)
        tell_unused(members)
        train_members(members, output or Path("runs") / name_of(members), **common)


def train_members(
    members: tuple[TrainingSettings, ...],
    folder: Path,
    *,
    resume: bool,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train one run, or several as an ensemble, and report each."""
    from coopetition.train.loop import train as run_training

    runs = run_training(
        members,
        folder,
        resume=resume,
        device=device,
        progress=not quiet,
        about={"command": sys.argv[1:]},
    )
    results = [result_of(run) for run in runs]
    if as_json:
        echo_json(results[0] if len(results) == 1 else results, indent=2)
        return
    for run, result in zip(runs, results, strict=True):
        verdict = result["verdict"] or "none without two evaluations of flip"
        click.echo(f"{run.summary()}\nverdict: {verdict}")


def name_of(members: tuple[TrainingSettings, ...]) -> str:
    """The name of a run, or of several together."""
    return members[0].name if len(members) == 1 else f"{len(members)}-from-{members[0].name}"


def members_of(
    names: tuple[str, ...], changes: tuple[str, ...], seeds: int, *, resumed: Path | None
) -> tuple[TrainingSettings, ...]:
    """The settings of each run, by name or of the run to continue, with the changes."""
    from coopetition.settings.training import TrainingSettings
    from coopetition.settings.yaml_files import with_overrides
    from coopetition.train.folder.ensemble_folder import holds_run, stored_settings

    if not names and resumed is not None:
        if not holds_run(resumed):
            raise ValueError(f"{resumed} holds no run to continue; give settings to begin one")
        return tuple(with_overrides(member, changes) for member in stored_settings(resumed))
    bases = [settings_named(name) for name in names] or [TrainingSettings()]
    bases = [with_overrides(base, changes) for base in bases]
    if seeds == 1:
        return tuple(bases)
    return tuple(
        base.replace(name=f"{base.name}-seed{seed}", run=base.run.replace(seed=seed))
        for base in bases
        for seed in range(base.run.seed, base.run.seed + seeds)
    )


def sweep_of(names: tuple[str, ...], changes: tuple[str, ...], seeds: int) -> Sweep:
    """The runs to spread over workers: those of a sweep's file, or those of any settings."""
    from coopetition.train.sweeps.sweep import Sweep, is_sweep, read_sweep

    if len(names) == 1 and is_sweep(names[0]):
        return read_sweep(names[0], overrides=changes, seeds=seeds)
    members = members_of(names, changes, seeds, resumed=None)
    return Sweep(name=name_of(members), members=members, varied=("run.seed",) if seeds > 1 else ())


def tell_unused(members: tuple[TrainingSettings, ...]) -> None:
    """Name settings that have no effect on stderr, before work begins."""
    from coopetition.settings.unused import without_effect

    for sentence in without_effect(members):
        click.echo(f"note: {sentence}", err=True)


def settings_named(name: str) -> TrainingSettings:
    """The settings in a file, or the preset of that name."""
    from coopetition.settings.presets import preset
    from coopetition.settings.yaml_files import read_settings

    is_file = name.endswith((".yaml", ".yml")) or Path(name).is_file()
    return read_settings(name) if is_file else preset(name)


def presets_listed() -> str:
    """A line for each preset."""
    from coopetition.settings.presets import preset, preset_names

    return "\n".join(f"{name:<20} {preset(name).source}" for name in preset_names())


def result_of(run: TrainedRun) -> dict[str, Any]:
    """What `--json` says of a run."""
    from coopetition.train.sweeps.sweep_tables import readings

    return {
        "run": str(run.folder),
        "name": run.settings.name,
        "seed": run.settings.run.seed,
        "sequences": run.sequences,
        "seconds": run.seconds,
        "sequences_per_second": run.sequences_per_second,
        "diverged": run.diverged,
        "gpu_memory_peak_bytes": run.peak_memory,
        **readings(run.curves),
    }


@click.command()
@click.argument("matrix", type=input_file)
@count_option("--classes", "Clusters to make.", default=3200, least=2)
@count_option("--exemplars", "Members kept of each cluster.", default=5)
@click.option(
    "--path-in-file", default="embeddings", show_default=True, help="Of the array in an HDF5 file."
)
@seed_option("Seed of the clustering.")
@click.option("-o", "--output", type=output_file, required=True, help="The file for the classes: "
              ".h5 or .npy.")  # fmt: skip
def embeddings(
    matrix: Path, classes: int, exemplars: int, path_in_file: str, seed: int, output: Path
) -> None:
    """Make classes for training by clustering a MATRIX of embeddings (.npy or HDF5).

    Each cluster is a class and its members are the exemplars, as for a language model's token
    embeddings in arXiv 2311.08360. Train on the result with -s data.kind=embeddings -s data.path=…
    """
    from coopetition.seeds import stream
    from coopetition.settings.training import DataSettings
    from coopetition.train.data.clustering import cluster
    from coopetition.train.data.embeddings import read_array, write_array

    checked_output(output, suffixes=(".h5", ".hdf5", ".npy"), inputs=[matrix])
    rows = read_array(matrix, path_in_file)
    clusters = cluster(rows, n_classes=classes, n_exemplars=exemplars, rng=stream(seed, "clusters"))
    write_array(clusters, output, DataSettings().path_in_file, source=str(matrix), seed=str(seed))
    click.echo(f"{output}: {classes} classes of {exemplars} exemplars, {rows.shape[1]} dimensions")
