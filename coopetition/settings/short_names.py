"""Training settings from short names: those that logs, maps and proposals share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import unknown_name
from .covariates import COVARIATES, data_kind, unusable
from .names import OURS, settings_of_ours
from .training import TrainingSettings
from .yaml_files import as_plain, from_plain, merged


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


def unlike(settings: Mapping[str, Any], made: TrainingSettings) -> dict[str, str]:
    """In what a run would differ from one of the settings by short names, as maps see them.

    Not every run can be written down as settings of our trainer: of published runs, the data are
    not those that it makes, and training from another run's weights takes these weights.

    Parameters
    ----------
    settings
        By short names, as in `Curves.settings`. What they leave open is met by any value.
    made
        What would be trained.

    Returns
    -------
    dict
        What is trained and what the settings say, in words, by ``data_kind``, ``training`` (plain
        or not) and covariate.

    Raises
    ------
    ValueError
        If a setting has a value outside its range.

    Examples
    --------
    >>> found = unlike({"n_classes": 1600, "data_kind": "omniglot"}, TrainingSettings())
    >>> found["data_kind"], found["classes"]
    ('gaussian, not omniglot', '0, not -3 (classes doubled)')
    """
    own = settings_of_ours(as_plain(made))
    pairs = {
        "data_kind": (data_kind(own), data_kind(settings)),
        "training": (unusable(own) or "plain", unusable(settings) or "plain"),
    }
    found = {n: f"{mine}, not {theirs}" for n, (mine, theirs) in pairs.items() if mine != theirs}
    for covariate in COVARIATES:
        mine, theirs = covariate.value(own), covariate.value(settings)
        if theirs is None and covariate.unknown == 0:
            theirs = 0.0
        if mine is not None and theirs is not None and not math.isclose(mine, theirs, abs_tol=1e-9):
            found[covariate.name] = f"{mine:.3g}, not {theirs:.3g} ({covariate.meaning})"
    return found
