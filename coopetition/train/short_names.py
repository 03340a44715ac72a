"""Training settings from short names: those that logs, maps and proposals share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import unknown_name
from ..logs.settings import OURS
from .settings import TrainingSettings
from .settings_files import as_plain, from_plain, merged


def with_short_names(base: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """A run's settings with changes under short names.

    Raises
    ------
    ValueError
        If a name is unknown, or a value not allowed.

    Examples
    --------
    >>> with_short_names(TrainingSettings(), {"n_classes": 1600.0}).data.n_classes
    1600
    """
    tree = as_plain(base)
    for name, value in changes.items():
        if name not in OURS:
            raise unknown_name("setting", name, OURS)
        section, field = OURS[name].split(".")
        before = tree[section][field]
        if isinstance(before, int) and not isinstance(before, bool) and float(value).is_integer():
            value = int(value)
        tree = merged(tree, {section: {field: value}})
    return from_plain(tree)


def from_short_names(settings: Mapping[str, Any]) -> TrainingSettings:
    """Settings of a run known by short names only, such as a published one; else the defaults.

    Its data are Gaussian classes unless ``data_kind`` names another kind that the trainer has and
    can make without a file.

    Examples
    --------
    >>> from_short_names({"lr": 1e-5, "n_classes": 12800, "data_kind": "omniglot"}).data.kind
    'gaussian'
    """
    original = settings.get("original")
    if isinstance(original, Mapping) and set(original) <= set(TrainingSettings.model_fields):
        return from_plain(original)
    known = {name: value for name, value in settings.items() if name in OURS}
    for name in ("optimizer",):
        known.pop(name, None)  # the reference's names of optimizers are its own
    base = TrainingSettings()
    kind = settings.get("data_kind")
    if kind in ("glyphs", "onehot"):
        base = base.replace(data=base.data.replace(kind=kind))
    return with_short_names(base, known)
