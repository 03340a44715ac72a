"""Settings that a run takes but that change nothing in it, because of its other settings."""

from __future__ import annotations

from collections.abc import Sequence

from .schema import value_at
from .training import SETTINGS, TrainingSettings


def without_effect(runs: Sequence[TrainingSettings]) -> tuple[str, ...]:
    """A sentence for each setting that has another value than its default, for nothing.

    It names the setting, its value and what it would need. What has an effect in any run of an
    ensemble or sweep is not named.
    """
    first, *others = (_of_one(run) for run in runs)
    return tuple(said for path, said in first.items() if all(path in other for other in others))


def _of_one(settings: TrainingSettings) -> dict[str, str]:
    """The sentences of one run, by setting."""
    batch = settings.optimisation.batch_size
    last = -(-settings.run.sequences // batch)
    sentences = {}
    for setting in SETTINGS:
        path, value, needs = setting.path, value_at(settings, setting.path), setting.needs
        if needs is not None and value != setting.default and not needs.met(settings):
            sentences[path] = f"{path} = {value} has no effect: it needs {needs.words}"
        if setting.within_run:
            beyond = [point for point in value if -(-point // batch) > last]
            if beyond:
                sentences[path] = (
                    f"{path} = {beyond} has no effect: the run ends at "
                    f"run.sequences = {settings.run.sequences}"
                )
    return sentences
