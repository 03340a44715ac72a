"""Settings that a run takes but that change nothing in it, because of its other settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .training import OptimisationSettings, SequenceKind, TrainingSettings

DEFAULTS = TrainingSettings()
SCHEDULED = ("warmup_steps", "decay_steps", "lr_floor")
Needs = Callable[[TrainingSettings], bool]


def _kind(*kinds: str) -> Needs:
    return lambda settings: settings.data.kind in kinds


def _adamw_agrees(settings: OptimisationSettings) -> bool:
    return settings.optimizer != "adamw" or settings.weight_decay_kind == "decoupled"


# setting, what it needs in order to matter, and that in words
CONDITIONS: tuple[tuple[str, Needs, str], ...] = (
    ("data.path_in_file", _kind("embeddings"), "data.kind = embeddings"),
    ("data.dim", _kind("gaussian"), "data.kind = gaussian"),
    ("data.spread", _kind("gaussian"), "data.kind = gaussian"),
    ("data.image_size", _kind("glyphs", "omniglot"), "data.kind = glyphs or omniglot"),
    ("data.jitter", _kind("glyphs"), "data.kind = glyphs"),
    ("data.seed", _kind("gaussian", "glyphs", "omniglot"), "data that are drawn or shuffled"),
    *(
        (f"sequences.{name}", lambda s: not s.sequences.mixture, "a sequence without mixture")
        for name in ("bursty_share", *SequenceKind.model_fields)
        if name != "share"
    ),
    (
        "network.time_scale",
        lambda s: s.network.positions in ("sinusoidal", "rotary"),
        "network.positions = sinusoidal or rotary",
    ),
    *(
        (f"optimisation.{name}", lambda s: s.optimisation.optimizer != "sgd", "an Adam")
        for name in ("betas", "eps")
    ),
    *(
        (
            f"optimisation.{name}",
            lambda s: s.optimisation.schedule != "constant",
            "optimisation.schedule other than constant",
        )
        for name in SCHEDULED
    ),
    (
        "optimisation.weight_decay_on",
        lambda s: s.optimisation.weight_decay > 0,
        "optimisation.weight_decay > 0",
    ),
    (
        "optimisation.weight_decay_kind",
        lambda s: s.optimisation.weight_decay > 0 and _adamw_agrees(s.optimisation),
        "optimisation.weight_decay > 0, and adamw's is decoupled",
    ),
    (
        "optimisation.reinitialise_embeddings_until",
        lambda s: s.optimisation.reinitialise_embeddings_every > 0,
        "optimisation.reinitialise_embeddings_every > 0",
    ),
    (
        "intervention.start_with",
        lambda s: s.intervention.start_from is not None,
        "intervention.start_from",
    ),
)
BEYOND = ("evaluation.at", "run.checkpoint_at")  # sequence counts that a run may not reach


def without_effect(runs: Sequence[TrainingSettings]) -> tuple[str, ...]:
    """A sentence for each setting that has another value than its default, for nothing.

    Parameters
    ----------
    runs
        Of one ensemble or sweep. What has an effect in any of them is not named.

    Returns
    -------
    tuple of str
        Each names the setting, its value and what it would need.

    Examples
    --------
    >>> without_effect([TrainingSettings(network={"time_scale": 30})])[0]
    'network.time_scale = 30.0 has no effect: it needs network.positions = sinusoidal or rotary'
    """
    found = [_of_one(run) for run in runs]
    return tuple(said for path, said in found[0].items() if all(path in other for other in found))


def _of_one(settings: TrainingSettings) -> dict[str, str]:
    """The sentences of one run, by setting."""
    said = {}
    for path, needs, words in CONDITIONS:
        value = _value(settings, path)
        if value != _value(DEFAULTS, path) and not needs(settings):
            said[path] = f"{path} = {value} has no effect: it needs {words}"
    batch = settings.optimisation.batch_size
    last = -(-settings.run.sequences // batch)
    for path in BEYOND:
        beyond = [point for point in _value(settings, path) if -(-point // batch) > last]
        if beyond:
            said[path] = (
                f"{path} = {beyond} has no effect: the run ends at "
                f"run.sequences = {settings.run.sequences}"
            )
    return said


def _value(settings: TrainingSettings, path: str) -> Any:
    section, name = path.split(".")
    return getattr(getattr(settings, section), name)
